"""Rows in the LLM-Adapters format: JSON lists of instruction, input, output and answer.

Rows are data, never code or paths. They are read as JSON only, through the `datasets` library.
"""

import json
from pathlib import Path

from datasets import Dataset

from denselora.errors import UserError

FIELDS = ("instruction", "input", "output", "answer")


def read_rows(file: str | Path, *, scored: bool = False) -> Dataset:
    """All rows of one JSON file, with the four fields as strings.

    `input` may be missing or empty. scored: so may the `output` be empty, which scoring never reads
    (six rows of GSM8K's published test set have none).

    Raises UserError naming the file, and the row (counted from 1) and field where one is at fault.
    """
    file = Path(file)
    if not file.is_file():
        raise UserError(
            f"{file}: no such file; data.path takes a folder with <benchmark>/test.json and the "
            "training JSON named by data.train_file"
        )
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file}: malformed JSON in row {_row_at(error.doc, error.pos)}, line {error.lineno}, "
            f"column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise UserError(f"{file}: nested too deeply; expected a JSON list of rows") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{file}: expected a non-empty JSON list of rows")
    may_be_empty = ("input", "output") if scored else ("input",)
    for number, row in enumerate(rows, start=1):
        _check(file, number, row, may_be_empty)
    return Dataset.from_dict({field: [row.get(field, "") for row in rows] for field in FIELDS})


def _check(file: Path, number: int, row, may_be_empty: tuple[str, ...]) -> None:
    if not isinstance(row, dict):
        raise UserError(f"{file}: row {number} is {type(row).__name__}, expected an object")
    for field in FIELDS:
        if field not in row and field != "input":
            raise UserError(f"{file}: row {number} has no field {field!r}; add it")
        value = row.get(field, "")
        if not isinstance(value, str):
            raise UserError(
                f"{file}: row {number}, field {field!r} is {type(value).__name__}, expected text"
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
