"""Predictions of one run on one benchmark: the rows behind an accuracy."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from denselora.errors import UserError

KEYS = {"id", "prompt_hash", "raw", "parsed", "gold", "correct"}


def read_predictions(file: Path) -> list[dict[str, Any]]:
    """All rows of a predictions file: JSONL, one row per prompt, with `KEYS` at least.

    Raises `UserError`, naming file and line, for a row that isn't like that.
    """
    predictions = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            missing = KEYS - row.keys()
        except (ValueError, AttributeError):
            raise UserError(f"{file}: line {number} is malformed; delete the file") from None
        if missing:
            raise UserError(f"{file}: line {number} lacks {', '.join(sorted(missing))}")
        predictions.append(row)
    return predictions


def aligned_outcomes(files: Sequence[Path]) -> np.ndarray:
    """Whether each row was answered right (bool [files, rows]), rows in order of their id.

    Raises `UserError` when two of the files were not made from the same prompts.
    """
    sorts = [sorted(read_predictions(file), key=lambda row: row["id"]) for file in files]
    prompts = [[(row["id"], row["prompt_hash"]) for row in rows] for rows in sorts]
    for file, other in zip(files, prompts, strict=True):
        if other != prompts[0]:
            raise UserError(
                f"{files[0]} and {file} hold different prompts, so they cannot be compared; "
                "evaluate both on the same files"
            )
    return np.array([[row["correct"] for row in rows] for rows in sorts], bool)
