"""Accuracy against what it costs: parameters, memory, time or what is forgotten, with the Pareto
frontier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

from denselora.results.blocks import Block, Row, best, of_usual_size
from denselora.results.charts import (
    REFERENCE,
    NoDataError,
    bar_ends,
    chart,
    colour,
    error_bars,
    finished,
    marker,
    rows_of,
)
from denselora.results.published import Published
from denselora.results.record import Record

# half a point's size in pixels of the layout, and where its label may be: offset in points, sides
POINT = 4
PLACES = [
    *[(5, 3, "left", "bottom"), (5, -3, "left", "top"), (-5, 3, "right", "bottom")],
    *[(-5, -3, "right", "top"), (7, 0, "left", "center"), (-7, 0, "right", "center")],
    *[(9, 9, "left", "bottom"), (9, -9, "left", "top"), (-9, 9, "right", "bottom")],
    *[(-9, -9, "right", "top"), (14, 0, "left", "center"), (-14, 0, "right", "center")],
]


@dataclass(frozen=True)
class Cost:
    """What accuracy is set against. of: None for a row that has no such figure. machine: on which a
    run's was measured, None if that makes no difference. scale: the axis's, linear where a cost may
    be 0 or less."""

    name: str
    unit: str
    of: Callable[[Row], float | None]
    machine: Callable[[Record], str | None]
    ticks: str = "{x:,.0f}"
    scale: str = "log"


def _memory(row: Row) -> float | None:
    sizes = [record.training.peak_memory_gib for record in row.records if record.training]
    return float(np.mean(sizes)) if sizes and all(sizes) else None


def _seconds(row: Row) -> float | None:
    times = [
        record.training.seconds / record.training.steps
        for record in row.records
        if record.training and record.training.steps
    ]
    return float(np.mean(times)) if times and all(times) else None


def _trained_on(record: Record) -> str:
    return record.origin.device.name


PARAMETERS = Cost(
    "trainable parameters", "", lambda row: row.method.trainable or None, lambda _: None
)
MEMORY = Cost("training memory", "GiB at most, of the process", _memory, _trained_on, "{x:.3g}")
TIME = Cost(
    "time per step", "seconds, with validation and checkpoints", _seconds, _trained_on, "{x:.3g}"
)
FORGETTING = Cost(
    "loss added on a neutral text", "nats per token", lambda row: row.forgotten,
    lambda record: record.device.name, "{x:g}", "linear",
)  # fmt: skip


def draw_frontier(block: Block, _published: Published, cost: Cost) -> Figure:
    """Average accuracy against a cost, a point for each method and rank.

    Of several learning rates it is the best one among those with most seeds; other settings are
    faint. Rows trained on fewer or more rows than most are in the low-resource chart instead. The
    frontier is of the points that no other one beats with as little or less.
    """
    rows = [row for row in rows_of(block) if row.method.trainable and cost.of(row) is not None]
    if not rows:
        raise NoDataError(f"no trained method with an average and its {cost.name}")
    rows = of_usual_size(rows)
    axes = chart(block, f"accuracy against {cost.name}")
    chosen = best(rows, lambda row: (row.method.label, row.method.r))
    for row in rows:
        if row in chosen:
            error_bars(axes, [cost.of(row)], [row], label=row.method.label, linestyle="none")
        else:
            faint = {"markersize": 3, "alpha": 0.3, "markeredgewidth": 0, "zorder": 1}
            axes.plot(
                cost.of(row), row.average.mean, marker=marker(row), color=colour(row), **faint
            )
    low, high = _room(chosen)
    axes.set_ylim(low, high)
    right = _cost_axis(axes, cost, [cost.of(row) for row in rows])
    axes.set_xlabel(f"{cost.name} ({cost.unit})" if cost.unit else cost.name)
    front = frontier(chosen, cost.of)
    axes.step(
        [*map(cost.of, front), right],
        [*(row.average.mean for row in front), front[-1].average.mean],
        where="post", color="#444444", lw=1, ls="--", zorder=0.5, label="frontier", gid=REFERENCE,
    )  # fmt: skip
    note = (
        f"on the frontier: {', '.join(map(_name, front))}; numbers: rank r; "
        f"{rows[0].train_rows or 0:,} training rows"
    )
    machines = {cost.machine(run) for row in chosen for run in row.records}
    if len(machines) > 1:
        note += f"; measured on {len(machines)} kinds of machine"
    if len(chosen) < len(rows):
        note += "; faint: variants, and learning rates with a lower average or fewer seeds"
    figure = finished(axes, block, chosen, note)
    _label(axes, chosen, cost)
    return figure


def _cost_axis(axes: Axes, cost: Cost, costs: Sequence[float]) -> float:
    """Scale, ticks and limits of the cost; returns its right end."""
    axes.set_xscale(cost.scale)
    axes.xaxis.set_major_formatter(StrMethodFormatter(cost.ticks))
    if cost.scale == "linear":
        margin = max(max(costs) - min(costs), 0.1) / 12
        axes.set_xlim(min(costs) - margin, max(costs) + margin)
    else:
        if max(costs) / min(costs) < 10:  # no two of the usual ticks
            axes.xaxis.set_minor_formatter(StrMethodFormatter(cost.ticks))
            axes.tick_params(axis="x", which="minor", labelsize=7)
        else:
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(costs) / 1.5, max(costs) * 1.5)
    return axes.get_xlim()[1]


def frontier(rows: Sequence[Row], cost: Callable[[Row], float]) -> list[Row]:
    """The rows that no other beats in the mean at the same cost or less, from the cheapest on."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (cost(row), -row.average.mean)):
        if not front or row.average.mean > front[-1].average.mean:
            front.append(row)
    return front


def _room(rows: Sequence[Row]) -> tuple[float, float]:
    """Where the points and their bars are, and a little more."""
    ends = [end for row in rows for end in bar_ends(row.average)]
    margin = max(1.0, (max(ends) - min(ends)) / 12)
    return min(ends) - margin, max(ends) + margin


def _label(axes: Axes, rows: Sequence[Row], cost: Cost) -> None:
    """The rank at each point, where it covers neither a point, nor a bar, nor another label."""
    axes.figure.canvas.draw()  # the layout, which decides what covers what
    taken = []
    for row in rows:
        low, high = bar_ends(row.average)
        (x, bottom), (_, middle), (_, top) = axes.transData.transform(
            [(cost.of(row), y) for y in (low, row.average.mean, high)]
        )
        taken += [Bbox.from_extents(x - 1, bottom, x + 1, top)]
        taken += [Bbox.from_extents(x - POINT, middle - POINT, x + POINT, middle + POINT)]
    for row in rows:
        if not row.method.r:
            continue
        text = axes.annotate(
            str(row.method.r),
            (cost.of(row), row.average.mean),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=7,
            color=colour(row),
            zorder=5,
        )
        for x, y, side, height in PLACES:
            text.set(ha=side, va=height, position=(x, y))
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        else:  # a crowd: as usual
            x, y, side, height = PLACES[0]
            text.set(ha=side, va=height, position=(x, y))
        taken.append(text.get_window_extent())


def _name(row: Row) -> str:
    return row.method.label + (f" r={row.method.r}" if row.method.r else "")
