"""Loss by optimizer step, from the metrics files that records name."""

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from denselora.errors import UserError
from denselora.results.blocks import Block
from denselora.results.charts import (
    DASHES,
    NoDataError,
    colour,
    legend_outside,
    marker,
    place,
)
from denselora.results.published import Published
from denselora.results.setting import differing_keys, in_words

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
    """Training loss, its running mean, and validation loss as markers; a line per run."""
    runs = [
        (row, path)
        for row in block.rows
        for record in row.records
        if record.training and (path := record.beside(record.training.metrics_file))
    ]
    if not runs:
        raise NoDataError("no metrics file beside the records")
    figure = Figure(figsize=(7, 3.6))
    axes = figure.add_subplot()
    axes.set_title("Training loss by step\n", fontweight="bold")
    axes.text(0, 1.02, place(block), transform=axes.transAxes, fontsize=8, color="#444444")
    drawn = defaultdict(list)
    for row, path in runs:
        others = [other.setting for other, _ in runs if other.method.label == row.method.label]
        words = in_words(row.setting, differing_keys(others))
        label = f"{row.method.label} ({words})" if words else row.method.label
        own = drawn[row.method.name]
        own += [label] if label not in own else []
        dashes = DASHES[own.index(label) % len(DASHES)]
        losses = read_losses(path)
        validation = losses["validation_loss_nats"]
        steps, loss = losses["loss_nats"]
        axes.plot(steps, loss, color=colour(row), lw=0.5, alpha=0.3)
        axes.plot(steps, _running_mean(loss), color=colour(row), ls=dashes, lw=1.4, label=label)
        axes.plot(
            *validation,
            linestyle="none",
            marker=marker(row),
            markersize=5,
            color=colour(row),
            markeredgecolor="white",
            label=f"{row.method.label}, validation"
            if losses["validation_loss_nats"].size
            else None,
        )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats)")
    note = "thin: each step's batch; thick: running mean"
    figure.supxlabel(note, fontsize=7, color="#444444", x=0.01, ha="left")
    legend_outside(figure, axes)
    return figure


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last twentieth of the run up to each point (float [n])."""
    window = max(1, math.ceil(len(values) / 20))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
