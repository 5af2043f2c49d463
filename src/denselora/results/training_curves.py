"""Loss by optimizer step, from the metrics files that records name."""

import json
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from denselora.errors import UserError
from denselora.results.blocks import Block, Row
from denselora.results.charts import NoDataError, annotate, chart, colour, marker
from denselora.results.published import Published

LOSSES = ("loss_nats", "validation_loss_nats")


def read_losses(path: Path) -> dict[str, np.ndarray]:
    """Steps and values (float [2, points]) of the training and the validation loss.

    A metrics file is JSONL, a line per step with `step` and `loss_nats`, now and then
    `validation_loss_nats`; other keys are passed over. Raises `UserError`, naming file and line,
    for a line that isn't like that.
    """
    points = {name: [] for name in LOSSES}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            for name in LOSSES:
                if row.get(name) is not None:
                    points[name].append((float(row["step"]), float(row[name])))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path}: line {number} is not a step's metrics ({error!r})") from error
    return {name: np.array(pairs).reshape(-1, 2).T for name, pairs in points.items()}


def draw_training(block: Block, _published: Published) -> Figure:
    """Loss of each method's best row: each step's, its running mean, and validation loss."""
    best: dict[str, tuple[Row, list[Path]]] = {}
    for row in sorted(block.rows, key=lambda row: row.average.mean if row.average else -1):
        files = [
            path
            for record in row.records
            if record.training and (path := record.beside(record.training.metrics_file))
        ]
        if files:
            best[row.method.label] = row, files
    if not best:
        raise NoDataError("no metrics file beside the records")
    axes = chart(block, "training loss")
    for row, files in sorted(best.values(), key=lambda pair: block.rows.index(pair[0])):
        rank = f" r={row.method.r}" if row.method.r else ""
        for file in files:
            losses = read_losses(file)
            steps, loss = losses["loss_nats"]
            axes.plot(steps, loss, color=colour(row), lw=0.5, alpha=0.25)
            axes.plot(
                steps, _running_mean(loss), color=colour(row), lw=1.4, label=f"{row.label}{rank}"
            )
            if losses["validation_loss_nats"].size:
                axes.plot(
                    *losses["validation_loss_nats"],
                    linestyle="none",
                    marker=marker(row),
                    markersize=5,
                    color=colour(row),
                    markeredgecolor="white",
                    label=f"{row.method.label}, validation",
                )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats)")
    annotate(
        axes,
        "each method's row with the best average, a line per seed; "
        "thin: loss of each step; thick: its running mean",
    )
    return axes.figure


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last twentieth of the run up to each point (float [n])."""
    window = max(1, math.ceil(len(values) / 20))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
