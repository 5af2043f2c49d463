"""Metrics of a training: a row per optimizer step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from denselora.errors import UserError, first_line
from denselora.results.row_files import PARQUET, read_json_lines, read_parquet, write_parquet

METRICS = f"metrics{PARQUET}"
LOSSES = ("loss_nats", "validation_loss_nats")
LOSS_SCHEMA = pa.schema({"step": pa.int64(), **dict.fromkeys(LOSSES, pa.float64())})


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """All rows of a metrics file: `step`, `loss_nats`, now and then `validation_loss_nats`, and
    what else the loop notes. A key that a step doesn't have isn't in its row.

    Raises `UserError`, naming the file, if it isn't like that.
    """
    if file.suffix != PARQUET:
        return read_json_lines(file)
    rows = read_parquet(file, ["step"]).to_pylist()
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def write_losses(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write step and losses of the rows as Parquet; what else they have stays with the run.

    Raises `UserError` for a value that is no number.
    """
    try:
        table = pa.Table.from_pylist(rows, LOSS_SCHEMA)
    except (pa.ArrowException, TypeError) as error:
        raise UserError(f"{file}: cannot be written ({first_line(error)})") from None
    write_parquet(file, table)


def read_losses(file: Path) -> dict[str, np.ndarray]:
    """Steps and values (float [2, points]) of the training and the validation loss.

    Raises `UserError`, naming file and line, for a row without a step or with a loss that is no
    number.
    """
    points = {name: [] for name in LOSSES}
    for number, row in enumerate(read_metrics(file), start=1):
        try:
            for name in LOSSES:
                if row.get(name) is not None:
                    points[name].append((float(row["step"]), float(row[name])))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{file}: line {number} is not a step's metrics ({error!r})") from error
    return {name: np.array(pairs).reshape(-1, 2).T for name, pairs in points.items()}
