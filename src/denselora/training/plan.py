"""What a run will do, before it does it."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from accelerate import init_empty_weights
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from denselora.compatibility import check_base, check_positions, check_quantised
from denselora.data.batch import Batch, pack
from denselora.data.dataset import TrainingSet, tokenise
from denselora.data.order import Schedule, shuffled
from denselora.data.sources import blob_id
from denselora.data.subset import subset
from denselora.errors import UserError
from denselora.methods import attach, describe, method_config
from denselora.models import count_parameters, empty_base, read_config
from denselora.provenance import device
from denselora.training.attention import keep_rows_apart
from denselora.training.job import Job
from denselora.training.loss import frozen_head, weighted_loss

# bytes an element of a quantised linear layer: 4 bits and its share of the scales; 8 bits
QUANTISED_BYTES = {"nf4": 0.52, "int8": 1.0}
# bytes of optimizer state for each trained parameter
OPTIMIZER_BYTES = {"adamw": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's rows and steps.

    rows: to train on. held_out: to validate on. file: git's blob id of the file that they are of.
    schedule: the rows of each step. steps: of the whole run. accumulation: micro-batches per
    process and step.
    """

    job: Job
    rows: TrainingSet
    held_out: TrainingSet | None
    file: str
    schedule: Schedule
    steps: int
    accumulation: int
    processes: int

    @classmethod
    def of(
        cls, job: Job, raw: Dataset, tokenizer: PreTrainedTokenizerBase, processes: int
    ) -> "Plan":
        """Hold rows of the training file out and order the others; seed_data alone decides both.

        Raises UserError if too few rows are left, or if the processes can't share a global batch.
        """
        settings, seed = job.settings, job.config["seed_data"]
        accumulation = settings.accumulation(processes)
        settings.without_validation(len(raw), job.train_file)
        order = shuffled(len(raw), seed, "validation")
        held_out = sorted(order[: settings.validation_rows])
        part = {key: job.config["data"][key] for key in ("fraction", "n_train", "balanced")}
        numbers = sorted(subset(order[settings.validation_rows :], raw["instruction"][:], **part))
        steps = settings.steps(len(numbers))
        schedule = Schedule(numbers, seed, settings.global_batch_size)

        def encoded(numbers: list[int]) -> TrainingSet:
            return tokenise(raw, numbers, tokenizer, job.protocol, str(job.train_file))

        return cls(
            job=job,
            rows=encoded(schedule.used(steps)),
            held_out=encoded(held_out) if held_out else None,
            file=blob_id(job.train_file),
            schedule=schedule,
            steps=steps,
            accumulation=accumulation,
            processes=processes,
        )

    def checked_model(self, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> nn.Module:
        """The model of the run without weights, as `empty_model` makes it.

        Raises UserError for a base, method, quantisation and rows that can't work together.
        """
        quantization, method = self.job.config["quantization"], self.job.adapter.name
        base = read_config(self.job.config["model"]["path"])
        check_base(base, tokenizer)
        check_positions(base, self.longest, f"the longest row of {self.job.train_file}")
        model = empty_model(self.job, self.steps)
        if quantization and method != "none":
            config = method_config(self.job.adapter, self.steps)
            check_quantised(f"adapter={method}", config, quantization, device)
        return model

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        sets = [self.rows, self.held_out] if self.held_out else [self.rows]
        return max(max(each.lengths.values()) for each in sets)

    @property
    def digest(self) -> str:
        """Of the rows that are trained and validated on, see `TrainingSet.digest`."""
        sets = [self.rows, self.held_out] if self.held_out else [self.rows]
        return sha256("".join(each.digest for each in sets).encode()).hexdigest()

    def print(self, method: dict[str, Any], start: int, precision: str) -> None:
        """Three lines: the run, its parameters, its rows and steps.

        method: as `methods.describe` gives it. start: steps done before. precision: bf16, fp16 or
        fp32, which is computed in.
        """
        settings = self.job.settings
        print(f"run {self.job.run_id}: {device()['name']}, {precision}")
        print(
            f"{method['label']}: {method['trainable']:,} trainable of "
            f"{method['total']:,} parameters ({method['trainable_percent']:.4f} %)"
        )
        print(
            f"{len(self.rows):,} rows, {self.rows.overlong:,} of them longer than the cut-off; "
            f"{self.steps:,} steps of {settings.global_batch_size} rows "
            f"({settings.micro_batch_size} × {self.accumulation} × {self.processes} processes)"
            + (f"; continuing after step {start}" if start else "")
        )
        if settings.warmup_steps >= self.steps:
            print(
                f"the learning rate only rises: trainer.warmup_steps={settings.warmup_steps} of "
                f"{self.steps} steps"
            )


def print_dry_run(plan: Plan, model: nn.Module, dtype: torch.dtype, precision: str) -> None:
    """Print the plan, its tokens, and the memory it needs.

    model: on the meta device, see `empty_model`. dtype: of the base. precision: see `Plan.print`.
    """
    plan.print(describe(model, plan.job.config["adapter"]), 0, precision)
    numbers = [number for step in range(plan.steps) for number in plan.schedule[step]]
    lengths = [plan.rows.lengths[number] for number in numbers]
    longest = max(lengths)
    sizes = memory(plan.job, model, longest, dtype, plan.processes)
    gib = {name: size / 2**30 for name, size in sizes.items()}
    print(f"{sum(lengths):,} tokens, {sum(lengths) / len(lengths):.0f} a row, longest {longest}")
    print(
        f"about {sum(gib.values()):.2f} GiB a device at the longest rows: "
        + ", ".join(f"{name} {size:.2f}" for name, size in gib.items())
    )
    print("nothing was trained or written: trainer.max_steps=0")


def empty_model(job: Job, steps: int) -> nn.Module:
    """The model with its adapter on the meta device: shapes without weights. steps: of the run.

    Raises UserError as `attach` does, or for an adapter larger than the base.
    """
    base = empty_base(job.config["model"]["path"])
    with init_empty_weights(include_buffers=False):
        keep_rows_apart(base)
        if job.settings.gradient_checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": False})
        if job.config["adapter"]["name"] == "none":
            model = base.requires_grad_(False)
        else:
            model = attach(base, job.adapter, steps)
    trainable, total = count_parameters(model)
    if 2 * trainable > total and job.config["adapter"]["name"] != "full":
        raise UserError(
            f"adapter.r={job.adapter.get('r')}: {trainable:,} trainable parameters, more than the "
            f"base's {total - trainable:,}; lower it"
        )
    return model


def memory(
    job: Job, model: nn.Module, longest: int, dtype: torch.dtype, processes: int = 1
) -> dict[str, float]:
    """Bytes of weights, gradients, optimizer and activations on one device, without sharding.

    longest: tokens of the longest row. Activations are what a pass full of such rows keeps for its
    backward pass, counted by running it on the meta device, where nothing is computed.
    """
    settings, quantization = job.settings, job.config["quantization"]
    rows = min(settings.pass_tokens // longest, settings.global_batch_size // processes)
    linear = {
        id(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not model.get_output_embeddings()
    }
    weights = trained = 0.0
    for parameter in model.parameters():
        if parameter.requires_grad:
            trained += parameter.numel()
            weights += parameter.numel() * 4
        elif quantization and id(parameter) in linear:
            weights += parameter.numel() * QUANTISED_BYTES[quantization]
        else:
            weights += parameter.numel() * dtype.itemsize
    return {
        "weights": weights,
        "gradients": trained * 4,
        "optimizer": trained * OPTIMIZER_BYTES[settings.optimizer],
        "activations": _kept_for_backward(model, max(1, rows), longest, dtype),
    }


def _kept_for_backward(model: nn.Module, rows: int, tokens: int, dtype: torch.dtype) -> int:
    """Bytes of all tensors that autograd saves, each storage once, parameters left out.

    Blocks that are alike keep as much each, but for the first, which hands no gradient on: two of
    them are run for all.
    """
    row = {"input_ids": [0] * tokens, "labels": [0] * tokens}
    batch = pack([row] * rows, [1.0] * rows).to(torch.device("meta"))
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    model.train()
    inner = _with_like_blocks(model)
    if inner is None:
        return _saved_bytes(model, batch)
    blocks = inner.layers
    try:
        inner.layers = blocks[:1]
        one = _saved_bytes(model, batch)
        inner.layers = blocks[:2]
        return one + (len(blocks) - 1) * (_saved_bytes(model, batch) - one)
    finally:
        inner.layers = blocks


def _with_like_blocks(model: nn.Module) -> nn.Module | None:
    """The part of the model whose `layers` are all of one make; None if it has none."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner = getattr(base, "model", None)
    blocks = getattr(inner, "layers", None)
    if not isinstance(blocks, nn.ModuleList) or len(blocks) < 3:
        return None
    kinds = getattr(base.config, "layer_types", None) or []
    makes = {
        tuple((name, p.shape, p.requires_grad) for name, p in block.named_parameters())
        for block in blocks
    }
    return inner if len(makes) == 1 and len(set(kinds)) <= 1 else None


def _saved_bytes(model: nn.Module, batch: Batch) -> int:
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = weighted_loss(model, batch, frozen_head(model))
    size = sum(storage.nbytes() for storage in kept.values())
    del loss
    return size
