"""Runs that were only trained, for the choice of a learning rate: a row each in grids.csv."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from denselora.errors import UserError, first_line
from denselora.files import write_text
from denselora.identity import dotted
from denselora.lock import locked
from denselora.readers import read_text
from denselora.training.optimizer import RATIOS
from denselora.training.run_folder import Trained

FILE = "grids.csv"
COLUMNS = [
    *("run_id", "model", "data", "protocol", "method", "r", "trainable", "train_rows", "seed"),
    *(
        "learning_rate",
        "learning_rate_ratio",
        "validation_loss_nats",
        "collapsed",
        "seconds",
        "commit",
    ),
]
TEXTS = ("run_id", "model", "data", "protocol", "method", "collapsed", "commit")
FIX = "restore it, or delete it to write it anew"


def add_to_grids(runs: Sequence[Trained], results: Path) -> Path:
    """Add runs to a results folder's grids.csv, in place of rows of the same run id; returns it.

    Sweeps that end at once wait for each other. Raises UserError for a file that isn't of this
    kind.
    """
    file = results / FILE
    with locked(results, "results_dir", wait=True):
        rows = {row["run_id"]: row for row in [*_read(file), *map(_row, runs)]}
        frame = pd.DataFrame(rows.values(), columns=COLUMNS).astype({"r": "Int64"})
        frame = frame.sort_values(
            ["model", "data", "method", "trainable", "learning_rate", "run_id"]
        )
        write_text(file, frame.to_csv(index=False, lineterminator="\n"))
    return file


def learning_rate_ratio(run: Trained) -> float | None:
    """A second learning rate as a multiple of the first; None if there is one rate alone."""
    ratios = (run.config["adapter"].get(name, 1) for name in RATIOS)
    return next((ratio for ratio in ratios if ratio != 1), None)


def _read(file: Path) -> list[dict]:
    if not file.exists():
        return []
    try:
        texts = dict.fromkeys(TEXTS, str)
        frame = pd.read_csv(
            StringIO(read_text(file, FIX)), dtype=texts, keep_default_na=False, na_values=[""]
        )
    except ValueError as error:
        raise UserError(f"{file}: can't be read ({first_line(error)}); {FIX}") from None
    if list(frame.columns) != COLUMNS:
        raise UserError(f"{file}: its columns are not {','.join(COLUMNS)}; {FIX}")
    return frame.to_dict("records")


def _row(run: Trained) -> dict:
    options, training = dotted(run.config), run.training
    values = (
        run.run_id,
        run.config["model"]["label"],
        run.config["data"]["label"],
        run.protocol.name,
        run.method.label,
        run.method.r,
        run.method.trainable,
        training.rows,
        options.get("seed"),
        options.get("trainer.learning_rate"),
        learning_rate_ratio(run),
        training.validation_loss_nats,
        training.collapsed,
        round(training.seconds, 1),
        run.git.commit,
    )
    return dict(zip(COLUMNS, values, strict=True))
