"""Evaluation as its scripts call it."""

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from denselora.command_line.configs import composed
from denselora.command_line.options import accepted
from denselora.evaluation import run
from denselora.evaluation.answering import answer_rows
from denselora.evaluation.evaluation_folder import EvaluationFolder
from denselora.evaluation.options import Evaluate
from denselora.evaluation.scoring import Scoring
from denselora.results.record import Record
from denselora.tasks import benchmark

BOOLQ = benchmark("boolq")


def evaluate(*overrides) -> tuple[list[Record], list[str]]:
    """What scripts/evaluate.py does with these options."""
    options = [str(override) for override in overrides]
    return run.evaluate(accepted(composed("evaluate", options), Evaluate), options)


def answer_boolq(
    rows: Dataset,
    scoring: Scoring,
    folder: Path,
    tokens: int = 1200,
    advance: Callable[[int], None] = lambda n: None,
) -> bytes:
    """Score rows as BoolQ's into a folder, to the end; the predictions file."""
    folder.mkdir(exist_ok=True)
    kept = EvaluationFolder(folder, {})
    answer_rows(scoring, rows, kept, tokens, advance)
    kept.finish("boolq", len(rows))
    return (folder / "boolq.jsonl").read_bytes()
