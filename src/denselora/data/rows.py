"""Rows in the LLM-Adapters format: JSON lists of instruction, input, output and answer.

Rows are data, never code or paths. They are read as JSON only, through the `datasets` library.
"""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset

from denselora.errors import UserError, first_line
from denselora.readers import KINDS, read_text

LIST = "expected a JSON list of rows, [{...}, {...}]"
FIELDS = ("instruction", "input", "output", "answer")


def read_rows(file: str | Path, *, scored: bool = False) -> Dataset:
    """All rows of one JSON file, with the four fields as strings.

    What isn't used may be missing or empty: `input`; the `answer` of a row that is trained on; the
    `output` of one that is scored (six rows of GSM8K's published test set have none).

    Raises UserError naming the file, and the row (counted from 1) and field where one is at fault.
    """
    file = Path(file)
    if not file.is_file():
        raise UserError(
            f"{file}: no such file; data.path takes a folder with <benchmark>/test.json and the "
            "training JSON named by data.train_file"
        )
    text = read_text(file, LIST)
    try:
        rows = json.loads(text, object_pairs_hook=_row)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and error.msg == "Extra data":
            raise UserError(f"{file}: JSON Lines, not JSON; {LIST}") from None
        raise UserError(
            f"{file}: malformed JSON in row {_row_at(error.doc, error.pos)}, line {error.lineno}, "
            f"column {error.colno} ({error.msg}); {LIST}"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of too many digits; too deep
        raise UserError(f"{file}: can't be read ({first_line(error)}); {LIST}") from None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{file}: {KINDS[type(rows)] if rows else 'no rows'}; {LIST}")
    may_be_empty = ("input", "output" if scored else "answer")
    for number, row in enumerate(rows, start=1):
        _check(file, number, row, may_be_empty)
    return Dataset.from_dict({field: [row.get(field, "") for row in rows] for field in FIELDS})


def _row(pairs: list[tuple[str, Any]]) -> dict[str | None, Any]:
    """An object, with None for a key that it has twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        row[None] = next(key for key in keys if keys.count(key) > 1)
    return row


def _check(file: Path, number: int, row: Any, may_be_empty: tuple[str, ...]) -> None:
    if not isinstance(row, dict):
        raise UserError(
            f"{file}: row {number} is {KINDS[type(row)]}, expected an object with "
            f"{', '.join(FIELDS)}; fix it"
        )
    if None in row:
        raise UserError(f"{file}: row {number} has the field {row[None]!r} twice; remove one")
    for field in FIELDS:
        if field not in row and field not in may_be_empty:
            raise UserError(f"{file}: row {number} has no field {field!r}; add it")
        value = row.get(field, "")
        if not isinstance(value, str):
            raise UserError(
                f"{file}: row {number}, field {field!r} is {KINDS[type(value)]}, expected text; "
                "fix it"
            )
        if not value.strip() and field not in may_be_empty:
            raise UserError(f"{file}: row {number}, field {field!r} is empty; fill it")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{file}: row {number}, field {field!r} holds half a surrogate pair, which is no "
                "text; fix the escape"
            ) from None


def _row_at(text: str, position: int) -> int:
    """The row (from 1) in which parsing stopped, found by reading row after row up to it."""
    decoder, number, at = json.JSONDecoder(), 1, text.find("[") + 1
    while at:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        try:
            _, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return number
        if at >= position:
            return number
        number += 1
    return number
