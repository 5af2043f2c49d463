"""Predictions of a run: the rows behind its accuracies."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from denselora import tasks
from denselora.errors import UserError, first_line
from denselora.results.record import Benchmark, Record
from denselora.results.row_files import PARQUET, read_json_lines, read_parquet, write_parquet

PREDICTIONS = f"predictions{PARQUET}"
KINDS = {
    "id": int, "prompt_hash": str, "raw": str, "parsed": str | None, "gold": str, "correct": bool,
}  # fmt: skip
KEYS = KINDS.keys()
JSON = json.JSONEncoder(sort_keys=True)

# Every run's file has these columns, so that those of several runs can be read as one table. The
# last two are null where a row doesn't have them: all answer words in a text that was decoded, or
# the log-likelihood of each option that was ranked.
SCHEMA = pa.schema(
    {
        "benchmark": pa.string(),
        "id": pa.int64(),
        "prompt_hash": pa.string(),
        "raw": pa.string(),
        "parsed": pa.string(),
        "gold": pa.string(),
        "correct": pa.bool_(),
        "named": pa.list_(pa.string()),
        "log_likelihood_nats": pa.list_(pa.struct({"option": pa.string(), "nats": pa.float64()})),
    }
)


def prompt_hash(prompt: str) -> str:
    """Twelve hex digits that tell one prompt from another."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def read_predictions(file: Path, benchmark: str) -> list[dict[str, Any]]:
    """All rows of a benchmark, one per prompt, with `KEYS` at least.

    file: an evaluation's JSON Lines, which hold one benchmark, or a published run's Parquet.

    Raises `UserError`, naming the file, if it isn't like that.
    """
    if file.suffix == PARQUET:
        rows = [_row(values) for values in _of_benchmark(file, benchmark).to_pylist()]
    else:
        rows = read_json_lines(file)
    fix = "restore the file, or evaluate again"
    for number, row in enumerate(rows, start=1):
        missing = KEYS - row.keys()
        if missing:
            raise UserError(f"{file}: line {number} lacks {', '.join(sorted(missing))}; {fix}")
        for key, kind in KINDS.items():
            if not isinstance(row[key], kind):
                raise UserError(f"{file}: line {number}, {key} is {row[key]!r}; {fix}")
    return rows


def write_predictions(file: Path, benchmarks: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the rows of all benchmarks of a run into one Parquet file.

    Raises `UserError` for a row that doesn't fit `SCHEMA`: nothing of it may be lost.
    """
    rows = []
    for benchmark, predictions in benchmarks.items():
        for row in predictions:
            unknown = row.keys() - set(SCHEMA.names)
            if unknown:
                raise UserError(
                    f"{file}: row {row['id']} of {benchmark} has {', '.join(sorted(unknown))}, for "
                    "which results/predictions.py has no column; add it"
                )
            rows.append({**row, "benchmark": benchmark})
            if "log_likelihood_nats" in row:
                ranked = row["log_likelihood_nats"].items()
                pairs = [{"option": option, "nats": nats} for option, nats in ranked]
                rows[-1]["log_likelihood_nats"] = pairs
    try:
        table = pa.Table.from_pylist(rows, SCHEMA)
    except (pa.ArrowException, TypeError) as error:
        raise UserError(f"{file}: cannot be written ({first_line(error)})") from None
    write_parquet(file, table)


def count(predictions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """A benchmark's figures from its predictions."""
    return {
        "n": len(predictions),
        "correct": sum(row["correct"] for row in predictions),
        "unparsed": sum(row["parsed"] is None for row in predictions),
        "ambiguous": sum(len(row.get("named") or ()) > 1 for row in predictions),
    }


def check_predictions(record: Record) -> None:
    """Raise UserError unless the predictions beside a record are those that it counts."""
    for name, kept in record.benchmarks.items():
        file = record.beside(kept.predictions)
        if file:
            check_counted(file, name, kept)


def check_counted(file: Path, benchmark: str, kept: Benchmark) -> None:
    """Raise UserError unless a benchmark's result was counted from just its rows in the file."""
    found = _read_once(file, benchmark, _version(file))
    if found.misjudged is not None:
        raise UserError(
            f"{file}: row {found.misjudged} of {benchmark} is counted against its own answer and "
            "gold; restore the file, or evaluate again in another folder"
        )
    what = f"{file}: the {len(found.ids)} rows of {benchmark} are not those of the record"
    fix = "restore the file, or evaluate again in another folder"
    if found.ids != list(range(kept.n)):
        raise UserError(f"{what}: ids are not 0 to {kept.n - 1}, each once; {fix}")
    for key, value in found.counts.items():
        expected = getattr(kept, key)
        if expected is not None and value != expected:
            raise UserError(f"{what}: {key} is {value}, there {expected}; {fix}")
    if kept.rows_hash and found.hash != kept.rows_hash:
        raise UserError(f"{what}: some have changed since; {fix}")


def rows_hash(rows: Sequence[Mapping[str, Any]]) -> str:
    """Twelve hex digits that change with any value of any row."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row["id"]):
        digest.update(JSON.encode(row).encode())
    return digest.hexdigest()[:12]


def aligned_outcomes(files: Sequence[Path], benchmark: str) -> np.ndarray:
    """Whether each row was answered right (bool [files, rows]), rows in order of their id.

    Raises `UserError` when two of the files were not made from the same prompts.
    """
    found = [_read_once(file, benchmark, _version(file)) for file in files]
    for file, one in zip(files, found, strict=True):
        if (one.ids, one.prompts, one.golds) != (found[0].ids, found[0].prompts, found[0].golds):
            raise UserError(
                f"{files[0]} and {file} hold different prompts or golds, so they cannot be "
                "compared; evaluate both on the same files"
            )
    return np.array([one.correct for one in found], bool)


@dataclass(frozen=True)
class _Rows:
    """What is asked of a benchmark's rows again and again, in order of their ids."""

    ids: list[int]
    prompts: list[str]
    golds: list[str]
    correct: list[bool]
    counts: dict[str, int]
    hash: str
    misjudged: int | None
    """A row whose `correct` isn't what its answer and gold say."""


# a file is checked, and compared with many others
@cache
def _read_once(file: Path, benchmark: str, version: tuple) -> _Rows:
    rows = sorted(read_predictions(file, benchmark), key=lambda row: row["id"])
    columns = ([row[key] for row in rows] for key in ("id", "prompt_hash", "gold", "correct"))
    of = tasks.benchmark(benchmark)
    misjudged = (row["id"] for row in rows if _is_misjudged(row, of))
    return _Rows(*columns, count(rows), rows_hash(rows), next(misjudged, None))


def _is_misjudged(row: Mapping[str, Any], benchmark: tasks.Benchmark) -> bool:
    try:
        return benchmark.is_right(row["parsed"], row["gold"]) != row["correct"]
    except ValueError:  # no number, where one is due
        return True


@lru_cache(maxsize=16)
def _table(file: Path, version: tuple) -> pa.Table:
    table = read_parquet(file, SCHEMA.names)
    try:
        return table.select(SCHEMA.names).cast(SCHEMA)
    except pa.ArrowException as error:
        raise UserError(
            f"{file}: columns of another kind ({first_line(error)}); restore it, or evaluate again"
        ) from None


def _version(file: Path) -> tuple:
    """Changes when the file does."""
    try:
        state = file.stat()
    except OSError:  # reading it says why
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _of_benchmark(file: Path, benchmark: str) -> pa.Table:
    table = _table(file, _version(file))
    rows = table.filter(pc.equal(table["benchmark"], benchmark))
    if not len(rows):
        raise UserError(f"{file}: has no rows of {benchmark}; evaluate again")
    return rows


def _row(values: dict[str, Any]) -> dict[str, Any]:
    """A row as the evaluation made it: with the keys that it had."""
    del values["benchmark"]
    if values["log_likelihood_nats"] is not None:
        ranked = values["log_likelihood_nats"]
        values["log_likelihood_nats"] = {pair["option"]: pair["nats"] for pair in ranked}
    optional = values.keys() - KEYS
    return {k: v for k, v in values.items() if v is not None or k not in optional}
