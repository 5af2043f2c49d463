"""A training step's real tokens per second: the authors' loop, rebuilt from its settings, and ours.

Both train the same adapter on the same base with random weights, on the same global batches of 16
rows, optimizer step included. The authors' has four micro-batches of 4 rows in their given order,
padded on the left to a multiple of 8, gradient checkpointing, all logits, and DenseLoRA's equation
as it stands. Before anything is timed, both must give the same gradients with dropout off.
"""

import copy
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import peft
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

from denselora.adapter import DenseLoraConfig, use_fused
from denselora.data.batch import IGNORED
from denselora.models import autocast
from denselora.speed.clock import now, spread
from denselora.speed.memory import peak_bytes
from denselora.training.attention import keep_rows_apart
from denselora.training.batches import Batches
from denselora.training.compiled import CompiledBlocks
from denselora.training.graphs import GraphedBlocks
from denselora.training.loss import frozen_head, weighted_loss
from denselora.typeset import markdown, markdown_row

AUTHORS, OURS = "authors' loop", "this loop"
ROWS, MICRO_BATCH = 16, 4
LONGEST = 256  # the cut-off
# Relative difference of a matrix's gradients. In bf16 rounding grows with the blocks: 0.02 after 4,
# 0.19 after 32 of random weights on an H100. What is wrong shows in fp32.
ALLOWED = {"float32": lambda blocks: 1e-4, "bfloat16": lambda blocks: max(0.1, 0.012 * blocks)}


def measure(cfg: DictConfig, overrides: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One entry for each of the shapes in `cfg.loop`; see ``measure_one``."""
    loop = cfg.loop
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = loop.shapes[kind]
    with tqdm(total=len(shapes) * loop.rounds, unit="round", desc="loop") as bar:
        return [measure_one(shape, loop, torch.device(kind), bar) for shape in shapes]


def table(measured: list[dict[str, Any]]) -> str:
    """The entries as Markdown: ratios with their lowest and highest."""
    lines = [
        f"Loop: optimizer steps over {ROWS} rows, random weights, DenseLoRA, every token trained; "
        "both in turn, ratios round by round: median (lowest–highest). Padding is no token.",
        "",
        "| widths | blocks | vocabulary | precision | r | loop | padding | tokens/s "
        f"| ÷ {AUTHORS} | peak MiB | gradients off by |",
        "| :-- | --: | --: | :-- | --: | :-- " + "| --: " * 5 + "|",
    ]
    for entry in measured:
        for row in entry["rows"]:
            cells = [
                markdown(entry["widths"]),
                str(entry["blocks"]),
                f"{entry['vocabulary']:,}",
                entry["precision"],
                str(entry["rank"]),
                row["name"],
                f"{100 * row['padding']:.0f} %",
                f"{row['tokens_per_s']:,.0f}",
                f"{row['ratio']:.2f} ({row['lowest']:.2f}–{row['highest']:.2f})",
                f"{row['peak_bytes'] / 2**20:,.0f}",
                f"{row['gradients_off_by']:.0e}",
            ]
            lines.append(markdown_row(cells))
    return "\n".join(lines) + "\n"


def gradients_off_by(shape: DictConfig, loop: DictConfig, device: torch.device) -> dict[str, float]:
    """How far each way's gradients of a global batch are from the authors', dropout off."""
    ways = _ways(shape, loop, device)
    off_by = _off_by(ways, random_rows(ROWS, shape.config.vocab_size))
    return {way.name: off for way, off in zip(ways, off_by, strict=True)}


def _off_by(ways: list["Way"], rows: list[dict[str, np.ndarray]]) -> list[float]:
    theirs, *_ = gradients = [way.gradients(rows) for way in ways]
    return [_difference(theirs, found) for found in gradients]


def measure_one(
    shape: DictConfig, loop: DictConfig, device: torch.device, bar: tqdm
) -> dict[str, Any]:
    """What was measured, and `rows`: for each loop its real tokens per second (median), their ratio
    to the authors' round by round, its share of padding, and the bytes that it holds at most.

    Every round has its own global batch. AssertionError where the gradients of the first one, with
    dropout off, are zero or differ by more than rounding.
    """
    ways = _ways(shape, loop, device)
    rows = random_rows(ROWS * loop.rounds, shape.config.vocab_size)
    rounds = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    tokens = [sum(len(row["input_ids"]) for row in batch) for batch in rounds]
    off_by = _off_by(ways, rounds[0])
    allowed = ALLOWED[shape.precision](shape.config.num_hidden_layers)
    assert np.max(off_by) < allowed, f"gradients differ by {np.max(off_by)}"
    for way in ways:  # what only the first step costs, or the first of each size
        for batch in rounds if isinstance(way, Recorded | Compiled) else rounds[:1]:
            way.step(batch)
    rates: list[list[float]] = [[] for _ in ways]
    columns = [0] * len(ways)
    for turn, batch in enumerate(rounds):
        for place in range(len(ways)):
            at = (place + turn) % len(ways)
            began = now()
            columns[at] += ways[at].step(batch)
            rates[at].append(tokens[turn] / (now() - began))
        bar.update()
    lengths = [len(row["input_ids"]) for row in rows]
    return {
        "widths": shape.name,
        "blocks": shape.config.num_hidden_layers,
        "vocabulary": shape.config.vocab_size,
        "precision": shape.precision,
        "rank": loop.rank,
        "dropout": loop.dropout,
        "rounds": loop.rounds,
        "tokens_per_row": {"mean": statistics.mean(lengths), "median": statistics.median(lengths)},
        "rows": [
            {
                "name": way.name,
                "tokens_per_s": statistics.median(rates[at]),
                **spread([a / b for a, b in zip(rates[at], rates[0], strict=True)]),
                "padding": 1 - sum(tokens) / columns[at],
                "peak_bytes": peak_bytes(lambda way=way: way.step(rounds[0]), device),
                "gradients_off_by": off_by[at],
            }
            for at, way in enumerate(ways)
        ],
    }


def _ways(shape: DictConfig, loop: DictConfig, device: torch.device) -> list["Way"]:
    """Both loops on one base, in memory once, each with its own adapter from the same start."""
    torch.manual_seed(0)
    precision = getattr(torch, shape.precision)
    with torch.device(device):
        base = LlamaForCausalLM(LlamaConfig(**OmegaConf.to_container(shape.config))).to(precision)
    base.requires_grad_(False)
    # drawn at random throughout: a matrix of zeros would leave others without a gradient
    adapter = DenseLoraConfig(
        r=loop.rank,
        target_modules=list(loop.target_modules),
        denselora_dropout=loop.dropout,
        init_weights=False,
    )

    def adapted() -> nn.Module:
        own = copy.deepcopy(base, {id(weight): weight for weight in base.parameters()})
        torch.manual_seed(1)
        return peft.get_peft_model(own, adapter)

    kinds = [Authors, Ours, *(ALSO[name] for name in loop.also[device.type])]
    return [kind(adapted(), precision, loop) for kind in kinds]


def _difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest ‖other − one‖ / ‖one‖ over the trained matrices."""
    off = [float((other[name] - grad).norm() / grad.norm()) for name, grad in one.items()]
    return float(np.max(off))  # NaN if one is


def lengths(rows: int, seed: int) -> np.ndarray:
    """Tokens of so many rows, like commonsense_170k's with the LLaMA-3 tokenizer and the paper's
    prompt: 124 in the mean, median 97, an eighth at the cut-off of 256.

    Text of 45 tokens around every question, the rest log-normal.
    """
    generator = np.random.default_rng(seed)
    drawn = 45 + np.exp(generator.normal(np.log(45), 0.8, rows))
    drawn[generator.random(rows) < 0.13] = LONGEST
    return np.minimum(drawn, LONGEST).astype(int)


def random_rows(rows: int, vocabulary: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """input_ids and labels of rows in which every token is trained, as in the paper's protocol."""
    generator = np.random.default_rng(seed)
    ids = [generator.integers(0, vocabulary, size) for size in lengths(rows, seed)]
    return [{"input_ids": row, "labels": row} for row in ids]


class Way:
    """A way through a global batch: the gradients of one step, and the step."""

    name: str

    def __init__(self, model: nn.Module, precision: torch.dtype, loop: DictConfig):
        self.model, self.device = model.train(), model.device
        self.dropout, self.pass_tokens = loop.dropout, loop.pass_tokens
        self.half = autocast(self.device, precision)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def backward(self, rows: list[dict[str, np.ndarray]]) -> int:
        """Accumulate the gradients of a global batch; returns the columns computed for it."""
        raise NotImplementedError

    def step(self, rows: list[dict[str, np.ndarray]]) -> int:
        columns = self.backward(rows)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return columns

    def gradients(self, rows: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        """Of one global batch with dropout off; AssertionError where one is zero."""
        self.model.train(not self.dropout)
        self.backward(rows)
        self.model.train()
        trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        found = {n: p.grad if p.grad is None else p.grad.clone() for n, p in trained}
        self.optimizer.zero_grad()
        for name, gradient in found.items():
            if gradient is None or not gradient.count_nonzero():
                raise AssertionError(f"{self.name}: {name} got no gradient")
        return found


class Authors(Way):
    name = AUTHORS

    def __init__(self, model: nn.Module, precision: torch.dtype, loop: DictConfig):
        super().__init__(model, precision, loop)
        # transformers' default of their time
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": True})

    def backward(self, rows: list[dict[str, np.ndarray]]) -> int:
        columns = 0
        # the plain equation, also where checkpointing computes it again
        with use_fused("never"):
            for start in range(0, ROWS, MICRO_BATCH):
                batch = _padded(rows[start : start + MICRO_BATCH], self.device)
                with self.half:
                    loss = self.model(**batch, use_cache=False).loss
                (loss * MICRO_BATCH / ROWS).backward()
                columns += batch["input_ids"].numel()
        return columns


class Ours(Way):
    name = OURS

    def __init__(self, model: nn.Module, precision: torch.dtype, loop: DictConfig):
        super().__init__(model, precision, loop)
        assert keep_rows_apart(model.get_base_model())
        self.head, self.blocks = frozen_head(model), self.prepare()

    def prepare(self) -> CompiledBlocks | GraphedBlocks | None:
        """What the loop does to the blocks before it starts."""
        return None

    def backward(self, rows: list[dict[str, np.ndarray]]) -> int:
        batches = Batches(
            rows=rows,
            schedule=[range(ROWS)],
            reduction="micro_batch_mean",
            micro_batch_size=MICRO_BATCH,
        )
        columns = 0
        for one in batches.at(0, self.pass_tokens).passes:
            one = one.to(self.device)
            one = self.blocks.padded(one) if self.blocks else one
            columns += one.tokens
            with self.blocks.watched(one) if self.blocks else nullcontext():
                with self.half:
                    loss = weighted_loss(self.model, one, self.head)
                loss.backward()
        return columns


class Recorded(Ours):
    name = f"{OURS}, trainer.cuda_graphs"

    def prepare(self) -> GraphedBlocks:
        return GraphedBlocks(self.model, self.pass_tokens, ROWS, LONGEST, must=True)


class Compiled(Ours):
    name = f"{OURS}, trainer.compile"

    def prepare(self) -> CompiledBlocks:
        return CompiledBlocks(self.model, self.pass_tokens)

    def gradients(self, rows: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        found = super().gradients(rows)
        self.blocks = self.prepare()  # with dropout, other code: its sizes are compiled afresh
        return found


ALSO = {"recorded": Recorded, "compiled": Compiled}


def _padded(rows: list[dict[str, np.ndarray]], device: torch.device) -> dict[str, torch.Tensor]:
    width = -(-max(len(row["input_ids"]) for row in rows) // 8) * 8
    ids, mask = torch.zeros(2, len(rows), width, dtype=torch.int64)
    labels = torch.full_like(ids, IGNORED)
    for at, row in enumerate(rows):
        start = width - len(row["input_ids"])
        ids[at, start:] = torch.from_numpy(row["input_ids"])
        mask[at, start:] = 1
        # the authors' also predicts a row's first token from padding, which ours never does
        labels[at, start + 1 :] = torch.from_numpy(row["labels"][1:])
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: tensor.to(device) for name, tensor in batch.items()}
