"""Loss by optimizer step, from the metrics files that records name."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from denselora.results.blocks import Block, Row, best, of_usual_size
from denselora.results.charts import NoDataError, annotate, chart, colour, marker
from denselora.results.metrics import read_losses
from denselora.results.published import Published


def best_of_each_method(block: Block, file: str) -> list[Row]:
    """Of each method the best row that has such a file: metrics_file, change_file. As many
    training rows for all where that can be."""
    rows = [row for row in block.rows if _files(row, file)]
    usual = {row.method.label: [] for row in rows}
    for row in of_usual_size(rows):
        usual[row.method.label].append(row)
    rows = [row for row in rows if row in usual[row.method.label] or not usual[row.method.label]]
    return best(rows, lambda row: row.method.label)


def draw_training(block: Block, _published: Published) -> Figure:
    """Loss of each method's best row: its running mean, and validation loss.

    All seeds and each step's loss are drawn where there are few enough methods to tell the lines
    apart.
    """
    rows = best_of_each_method(block, "metrics_file")
    if not rows:
        raise NoDataError("no metrics file beside the records")
    axes = chart(block, "training loss")
    crowded = len(rows) > 3
    for row in rows:
        rank = f" r={row.method.r}" if row.method.r else ""
        # what tells settings apart is in the tables; here it would make the legend the figure
        label = row.method.label + rank + (", collapsed" if row.has_collapsed else "")
        files = _files(row, "metrics_file")
        for file in files[:1] if crowded else files:
            losses = read_losses(file)
            steps, loss = losses["loss_nats"]
            if not crowded:
                axes.plot(steps, loss, color=colour(row), lw=0.5, alpha=0.25)
            axes.plot(steps, _running_mean(loss), color=colour(row), lw=1.2, label=label)
            if losses["validation_loss_nats"].size:
                axes.plot(
                    *losses["validation_loss_nats"],
                    linestyle="none",
                    marker=marker(row),
                    markersize=5,
                    markevery=max(1, losses["validation_loss_nats"].shape[1] // 12),
                    color=colour(row),
                    markeredgecolor="white",
                )
    axes.plot([], [], "o", color="#777777", markeredgecolor="white", label="validation")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats)")
    axes.set_yscale("log")  # nearly all of a run is within a tenth of its first loss
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    annotate(
        axes,
        f"each method's best row, {'its first seed' if crowded else 'a line per seed'}: "
        "running mean over a twentieth of the run" + ("" if crowded else "; thin: each step's"),
    )
    return axes.figure


def _files(row: Row, name: str) -> list[Path]:
    """The files of a row's runs that are beside their records."""
    named = [(run, getattr(run.training, name)) for run in row.records if run.training]
    return [path for run, file in named if (path := run.beside(file))]


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last twentieth of the run up to each point (float [n])."""
    window = max(1, math.ceil(len(values) / 20))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
