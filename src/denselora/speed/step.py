"""A training step's price: forward and backward through decoder blocks with random weights.

The blocks get gradients at their input, as all but the first block of a model do. Left out are
what all methods share, embeddings, head and loss, which would only dilute the ratios, and the
optimizer, whose step on the trained weights alone is small.
"""

import copy
import statistics
from collections.abc import Sequence
from typing import Any

import peft
import torch
from omegaconf import DictConfig
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from tqdm import tqdm
from transformers import LlamaConfig, LlamaModel

from denselora.adapter import DenseLoraConfig, use_fused
from denselora.speed.clock import now, spread
from denselora.speed.memory import peak_bytes
from denselora.typeset import markdown, markdown_row

BASE, LORA, NAIVE, OURS = "frozen base", "PEFT LoRA", "naive DenseLoRA", "DenseLoRA"


class Blocks:
    """The decoder blocks under one method, and one step of them on fixed inputs."""

    def __init__(self, name: str, blocks: nn.Module, inputs: torch.Tensor, grad: torch.Tensor):
        self.name, self.blocks, self.inputs, self.grad = name, blocks.train(), inputs, grad
        self._run = self.step

    def forward(self) -> torch.Tensor:
        """[1, tokens, hidden]; dropout is drawn anew."""
        with use_fused("never" if self.name == NAIVE else "always"):
            return self.blocks(inputs_embeds=self.inputs, use_cache=False).last_hidden_state

    def step(self) -> None:
        self.blocks.zero_grad(set_to_none=True)
        self.inputs.grad = None
        self.forward().backward(self.grad)

    def check_gradients(self) -> None:
        """Every trained weight, and the input, has a gradient that isn't zero."""
        self.step()
        for name, weight in self.blocks.named_parameters():
            if weight.requires_grad and not weight.grad.count_nonzero():
                raise AssertionError(f"{self.name}: {name} got no gradient")
        assert self.inputs.grad.count_nonzero()

    def seconds(self) -> float:
        began = now()
        self._run()
        return now() - began

    def record(self) -> None:
        """From now on `seconds` replays the step as one CUDA graph: the GPU's time, no host's."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        self._run = graph.replay

    def kept_bytes(self) -> int:
        """What autograd keeps between forward and backward, the weights not counted."""
        tensors = (*self.blocks.parameters(), *self.blocks.buffers())
        weights = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        kept = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # a result that knew its own graph would keep it for ever

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            output = self.forward()  # alive, so that no address is used twice
        del output
        return sum(kept.values())

    def peak_bytes(self) -> int:
        """The most that a step holds at once beyond weights and input."""
        self.blocks.zero_grad(set_to_none=True)
        self.inputs.grad = None
        return peak_bytes(self.step, self.inputs.device)


def measure(cfg: DictConfig, overrides: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One entry for each of the shapes and ranks in `cfg.step`; see ``measure_one``."""
    step = cfg.step
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    cells = [(shape, rank) for shape in step.shapes[kind] for rank in step.ranks]
    with tqdm(total=len(cells) * step.rounds, unit="round", desc="step") as bar:
        return [measure_one(shape, rank, step, torch.device(kind), bar) for shape, rank in cells]


def table(measured: list[dict[str, Any]]) -> str:
    """The entries as Markdown: ratios with their lowest and highest."""
    lines = [
        "Step: forward and backward of decoder blocks with random weights, input gradients "
        "included; all methods in turn, ratios round by round: median (lowest–highest). Kept: what "
        "autograd keeps for backward on top of the frozen base, bytes per token and layer.",
        "",
        "| widths | blocks | tokens | precision | r | started by | method | ms "
        "| ÷ frozen base | ÷ PEFT LoRA | ÷ naive | kept | ÷ PEFT LoRA's | peak MiB |",
        "| :-- | --: | --: | :-- | --: | :-- | :-- " + "| --: " * 7 + "|",
    ]
    for entry in measured:
        kept = {row["name"]: row["kept_bytes_per_token_and_layer"] for row in entry["rows"]}
        for row in entry["rows"]:
            ratios = [
                f"{row['to'][other]['ratio']:.2f} "
                f"({row['to'][other]['lowest']:.2f}–{row['to'][other]['highest']:.2f})"
                if row["name"] != other
                else "1"
                for other in (BASE, LORA, NAIVE)
            ]
            cells = [
                markdown(entry["widths"]),
                str(entry["blocks"]),
                str(entry["tokens"]),
                entry["precision"],
                str(entry["rank"]),
                "a graph" if entry["recorded"] else "the host",
                row["name"],
                f"{1e3 * row['seconds']:.1f}",
                *ratios,
                f"{kept[row['name']]:,.0f}",
                f"{kept[row['name']] / kept[LORA]:.2f}",
                f"{row['peak_bytes'] / 2**20:,.0f}",
            ]
            lines.append(markdown_row(cells))
    return "\n".join(lines) + "\n"


def measure_one(
    shape: DictConfig, rank: int, step: DictConfig, device: torch.device, bar: tqdm
) -> dict[str, Any]:
    """What was measured, and `rows`: for each method its seconds (median), its ratio to each other
    method, round by round, and the bytes that it keeps and holds at most.
    """
    methods = _methods(shape, rank, step, device)
    for blocks in methods:
        blocks.check_gradients()
    kept = {blocks.name: blocks.kept_bytes() for blocks in methods}
    peak = {blocks.name: blocks.peak_bytes() for blocks in methods}
    recorded = device.type == "cuda" and shape.recorded
    if recorded:
        for blocks in methods:
            blocks.record()
    seconds: dict[str, list[float]] = {blocks.name: [] for blocks in methods}
    for turn in range(step.rounds):
        for place in range(len(methods)):
            blocks = methods[(place + turn) % len(methods)]
            seconds[blocks.name].append(blocks.seconds())
        bar.update()
    return {
        "widths": shape.name,
        "blocks": shape.layers,
        "tokens": shape.tokens,
        "precision": shape.precision,
        "rank": rank,
        "dropout": step.dropout,
        "rounds": step.rounds,
        "recorded": recorded,
        "rows": [
            {
                "name": blocks.name,
                "seconds": statistics.median(seconds[blocks.name]),
                "to": {
                    other: spread(
                        [a / b for a, b in zip(seconds[blocks.name], seconds[other], strict=True)]
                    )
                    for other in seconds
                },
                "kept_bytes": kept[blocks.name],
                "kept_bytes_per_token_and_layer": (kept[blocks.name] - kept[BASE])
                / (shape.tokens * shape.layers),
                "peak_bytes": peak[blocks.name],
            }
            for blocks in methods
        ],
    }


def _methods(shape: DictConfig, rank: int, step: DictConfig, device: torch.device) -> list[Blocks]:
    """The same blocks, in memory once, under each method; the input is shared as well."""
    torch.manual_seed(0)
    config = LlamaConfig(**shape.config, num_hidden_layers=shape.layers, vocab_size=8)
    with torch.device(device):
        base = LlamaModel(config).to(getattr(torch, shape.precision)).requires_grad_(False)
        inputs, grad = torch.randn(2, 1, shape.tokens, config.hidden_size, dtype=base.dtype)
    inputs.requires_grad_()
    shared = {"target_modules": list(step.target_modules), "r": rank}
    # drawn at random throughout: a matrix of zeros would leave others without a gradient
    lora = peft.LoraConfig(
        lora_alpha=2 * rank, lora_dropout=step.dropout, init_lora_weights=False, **shared
    )
    ours = DenseLoraConfig(denselora_dropout=step.dropout, init_weights=False, **shared)

    def under(config: peft.PeftConfig | None) -> nn.Module:
        own = copy.deepcopy(base, {id(weight): weight for weight in base.parameters()})
        return peft.get_peft_model(own, config) if config else own

    configs = {BASE: None, LORA: lora, NAIVE: ours, OURS: ours}
    return [Blocks(name, under(config), inputs, grad) for name, config in configs.items()]
