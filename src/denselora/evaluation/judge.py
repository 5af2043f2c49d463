"""What a model wrote, read and counted; needs neither torch nor the model."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from denselora.protocol import Protocol
from denselora.results.predictions import read_predictions
from denselora.tasks import Benchmark, answer_pattern

SECTION = "###"  # opens a section of the prompt, and what a model makes up after its answer


def read(benchmark: Benchmark, protocol: Protocol, text: str) -> tuple[str | None, set[str]]:
    """The answer in a continuation of the prompt, or None, and all the answer words in it.

    With whole words (protocol `clean`) the answer ends where the model opens another section. Else
    what follows the last "### Response:" is read, also one that the model wrote itself, as in the
    authors' script.
    """
    whole = protocol.whole_word_answers
    if whole:
        text = text.split(SECTION, 1)[0]
    return benchmark.read(text, whole_word=whole), benchmark.named(text, whole_word=whole)


def settled(benchmark: Benchmark, protocol: Protocol, text: str) -> bool:
    """Whether nothing that may follow a continuation can change what `read` takes from it.

    True with whole words once the first answer word has its border on the right, or another
    section has begun. Never for numbers, of which the last counts, nor without whole words, where
    a new "### Response:" would start over.
    """
    if not protocol.whole_word_answers or not benchmark.answers:
        return False
    if SECTION in text:
        return True
    text = text.rstrip("\N{REPLACEMENT CHARACTER}")  # half a character may become a letter
    found = re.search(answer_pattern(benchmark.answers, whole_word=True), text)
    return found is not None and found.end() < len(text)


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
    rows, changed = [], 0
    for row in read_predictions(file):
        if scoring != "generate":
            parsed, named = row["parsed"], set()
        else:
            parsed, named = read(benchmark, protocol, row["raw"])
        correct = benchmark.is_right(parsed, row["gold"])
        changed += (parsed, correct) != (row["parsed"], row["correct"])
        rows.append(row | {"parsed": parsed, "named": sorted(named), "correct": correct})
    return count(rows), changed
