"""data/mini: the world's benchmarks, its tokenizer and its base, written from the seed alone."""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from denselora.data.world.base import Pretraining, encode, new_base, pretrain
from denselora.data.world.benchmarks import make_benchmarks
from denselora.data.world.facts import World
from denselora.data.world.text import as_text, documents
from denselora.data.world.tokenizer import train_tokenizer


def write_benchmarks(world: World, folder: Path) -> None:
    """Write train.json and <benchmark>/test.json in the layout of LLM-Adapters."""
    train, tests = make_benchmarks(world)
    _write(folder / "train.json", train)
    for benchmark, rows in tests.items():
        _write(folder / benchmark / "test.json", rows)


def write_base(
    world: World, prompts: list[str], folder: Path, numbers: Pretraining | None = None
) -> dict:
    """Pretrain the base from the world's text and save it as a folder for from_pretrained.

    prompts: how a few rows look as training text, so that the tokenizer knows those words whole.
    Returns the figures of `pretrain`, which also stand in pretraining.json there.
    """
    numbers = numbers or Pretraining()
    text = documents(world, numbers.steps * numbers.batch)
    tokenizer = train_tokenizer([*map(as_text, text[-20_000:]), *prompts])
    model = new_base(len(tokenizer), world.seed)
    figures = pretrain(model, encode(text, tokenizer), numbers)
    _save(model, tokenizer, folder)
    (folder / "pretraining.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _save(model, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=1) + "\n")
