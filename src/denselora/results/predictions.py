"""Predictions of one run on one benchmark: the rows behind an accuracy."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from denselora.errors import UserError


def read_outcomes(path: Path) -> dict[str, tuple[str, bool]]:
    """Row id -> (prompt hash, correct) of a predictions file, sorted by id.

    A predictions file is JSONL with one row per prompt: id, prompt_hash, raw, parsed, gold,
    correct. Raises `UserError`, naming file and line, for a row that isn't like that.
    """
    outcomes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            key, outcome = str(row["id"]), (row["prompt_hash"], row["correct"])
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path}, line {number}: not a prediction ({error!r})") from error
        if key in outcomes:
            raise UserError(f"{path}, line {number}: id {key} comes twice")
        outcomes[key] = outcome
    return dict(sorted(outcomes.items()))


def aligned_outcomes(paths: Sequence[Path]) -> np.ndarray:
    """Whether each row was answered right (bool [files, rows]), rows in the same order.

    Raises `UserError` when two of the files were not made from the same prompts.
    """
    files = [read_outcomes(path) for path in paths]
    prompts = [{key: prompt for key, (prompt, _) in rows.items()} for rows in files]
    for path, other in zip(paths, prompts, strict=True):
        if other != prompts[0]:
            raise UserError(
                f"{paths[0]} and {path} hold different prompts, so they cannot be compared; "
                "evaluate both on the same files"
            )
    return np.array([[correct for _, correct in rows.values()] for rows in files], bool)
