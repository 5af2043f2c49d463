"""Predictions counted, and judged anew; needs neither torch nor the model."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from denselora.protocol import Protocol
from denselora.results.predictions import read_predictions
from denselora.tasks import Benchmark


def prompt_hash(prompt: str) -> str:
    """Twelve hex digits that tell one prompt from another."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def count(predictions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """A benchmark's figures from its predictions."""
    return {
        "n": len(predictions),
        "correct": sum(row["correct"] for row in predictions),
        "unparsed": sum(row["parsed"] is None for row in predictions),
        "ambiguous": sum(len(row.get("named") or ()) > 1 for row in predictions),
    }


def recount(
    file: Path, benchmark: Benchmark, protocol: Protocol, scoring: str
) -> tuple[dict[str, int], int]:
    """A benchmark's figures, judged anew from the texts of its predictions.

    Under other scorings than "generate" there is no text: the chosen words are compared with gold.

    Returns the figures, and how many rows are judged otherwise than when they were made.
    """
    rows, changed, whole_word = [], 0, protocol.whole_word_answers
    for row in read_predictions(file, benchmark.name):
        if scoring != "generate":
            parsed, named = row["parsed"], set()
        else:
            parsed = benchmark.read(row["raw"], whole_word)
            named = benchmark.named(row["raw"], whole_word)
        correct = benchmark.is_right(parsed, row["gold"])
        changed += (parsed, correct) != (row["parsed"], row["correct"])
        rows.append(row | {"parsed": parsed, "named": sorted(named), "correct": correct})
    return count(rows), changed
