"""Speed at LLaMA3-8B's shapes with random weights: measured, and held against what is aimed at."""

from collections.abc import Iterator
from typing import Any

import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from denselora.speed import loop as loops
from denselora.speed import step as steps
from denselora.speed.check.card import product_rate
from denselora.speed.check.finding import Finding, Place
from denselora.speed.check.passes import TARGETS

SETTING = {"rank": 16, "dropout": 0.05, "target_modules": TARGETS}
# GiB of one of LLaMA3-8B's blocks in bf16, of its embedding and head, and of what all four methods
# keep for backward, a token and block
BLOCK, ENDS, KEPT = 0.41, 2.0, 1.1e-3


def step_512(place: Place) -> Iterator[Finding]:
    """A step of decoder blocks over 512 tokens, by each method."""
    yield from _step(place, 512)


def step_2048(place: Place) -> Iterator[Finding]:
    """The same over 2,048 tokens."""
    yield from _step(place, 2048)


def step_8192(place: Place) -> Iterator[Finding]:
    """The same over 8,192 tokens."""
    yield from _step(place, 8192)


def loop(place: Place) -> Iterator[Finding]:
    """Optimizer steps of the whole loop, as it is and recorded, against the authors' loop."""
    yield from _loop(place, ["recorded"] if place.is_gpu else [])


def compiled(place: Place) -> Iterator[Finding]:
    """The same with trainer.compile."""
    yield from _loop(place, ["compiled"])


def _step(place: Place, tokens: int) -> Iterator[Finding]:
    tokens //= place.sizes["fewer"]
    layers = fitting_blocks(place, 0, BLOCK + KEPT * tokens, place.sizes["step_layers"])
    if not layers:
        yield skipped(place, BLOCK + KEPT * tokens)
        return
    rate = product_rate(place)
    for recorded in (False, True) if place.is_gpu else (False,):
        shape = _shape(place, num_hidden_layers=None)
        shape |= {"layers": layers, "tokens": tokens, "recorded": recorded}
        setting = SETTING | {"rounds": place.sizes["rounds"]}
        entry = steps.measure_one(
            OmegaConf.create(shape), 16, OmegaConf.create(setting), torch.device(place.device),
            tqdm(disable=True),
        )  # fmt: skip
        ours = next(row for row in entry["rows"] if row["name"] == steps.OURS)
        lora = next(row for row in entry["rows"] if row["name"] == steps.LORA)
        where = f"{tokens:,} tokens, {layers} blocks, " + ("recorded" if recorded else "eager")
        seconds = {row["name"]: row["seconds"] for row in entry["rows"]}
        yield Finding(
            f"{where}: ms of base, LoRA, plain, ours",
            ", ".join(f"{1e3 * seconds[name]:.1f}" for name in seconds),
        )
        aims = {steps.BASE: "aim 1.08", steps.LORA: "aim 0.90", steps.NAIVE: ""}
        for other, aim in aims.items():
            yield _ratio(f"{where}: step ÷ {other}", ours["to"][other], aim)
        yield _ratio(f"{where}: LoRA's step ÷ {steps.BASE}", lora["to"][steps.BASE], "")
        flop = _flop(place) * tokens * layers / ours["seconds"]
        share = f"{flop / 1e12:.0f}, {100 * flop / rate:.0f} % of the card's product"
        yield Finding(f"{where}: TFLOP/s of the base's products", share)
    yield Finding(
        f"{tokens:,} tokens: peak memory ÷ LoRA's",
        f"{ours['peak_bytes'] / lora['peak_bytes']:.2f}",
        "aim 0.70",
    )


def _loop(place: Place, also: list[str]) -> Iterator[Finding]:
    wanted = place.sizes["loop_layers"]
    layers = fitting_blocks(place, ENDS + 4, BLOCK + 0.6, wanted)
    if not layers:
        yield skipped(place, ENDS + 4 + BLOCK + 0.6)
        return
    setting = SETTING | {"rounds": place.sizes["loop_rounds"], "pass_tokens": 4096}
    measured = loops.measure_one(
        OmegaConf.create(_shape(place, num_hidden_layers=layers)),
        OmegaConf.create(setting | {"also": {place.device: also}}),
        torch.device(place.device),
        tqdm(disable=True),
    )
    for row in measured["rows"]:
        what = f"{layers} of {wanted} blocks, {row['name']}"
        aim = "aim 12,500" if row["name"] != loops.AUTHORS else ""
        yield Finding(f"{what}: tokens/s", f"{row['tokens_per_s']:,.0f}", aim)
        yield Finding(f"{what}: peak GiB", f"{row['peak_bytes'] / 2**30:.1f}")
        if row["name"] != loops.AUTHORS:
            yield _ratio(f"{what} ÷ {loops.AUTHORS}", row, "aim 3")


def _shape(place: Place, num_hidden_layers: int | None) -> dict[str, Any]:
    config = dict(place.sizes["shape"])
    vocabulary = config.pop("vocab_size")
    if num_hidden_layers:
        config |= {"num_hidden_layers": num_hidden_layers, "vocab_size": vocabulary}
    precision = "bfloat16" if place.is_gpu else "float32"
    return {"name": "LLaMA3-8B", "config": config, "precision": precision}


def fitting_blocks(place: Place, fixed: float, each: float, most: int) -> int:
    """As many blocks as fit into nine tenths of the free memory."""
    return max(0, min(most, int((0.9 * place.free_gib() - fixed) / each)))


def skipped(place: Place, needed: float) -> Finding:
    value = f"skipped: needs {needed / 0.9:.0f} GiB of free memory, has {place.free_gib():.0f}"
    return Finding("LLaMA3-8B's shapes", value)


def _flop(place: Place) -> float:
    """Of a token in one block: the frozen base's products, forward and for the input's gradient."""
    shape = place.sizes["shape"]
    hidden, wide = shape["hidden_size"], shape["intermediate_size"]
    shared = hidden * shape["num_key_value_heads"] // shape["num_attention_heads"]
    return 4 * (2 * hidden * hidden + 2 * hidden * shared + 3 * hidden * wide)


def _ratio(what: str, spread: dict[str, float], aim: str) -> Finding:
    value = f"{spread['ratio']:.2f} ({spread['lowest']:.2f}–{spread['highest']:.2f})"
    return Finding(what, value, aim)
