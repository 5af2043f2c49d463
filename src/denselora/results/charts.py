"""Charts of the average accuracy of one block: by parameters, rank, training rows and modules."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from denselora.results.blocks import Block, Row
from denselora.results.published import Published, PublishedPoint, PublishedRow
from denselora.results.setting import differing_keys, in_words

# Okabe and Ito's palette, told apart with any kind of colour vision; a method keeps its own.
COLOURS = {
    "denselora": "#0072B2",
    "lora": "#D55E00",
    "dora": "#009E73",
    "vera": "#CC79A7",
    "lokr": "#56B4E9",
    "adalora": "#E69F00",
}
MARKERS = {"denselora": "o", "lora": "s", "dora": "D", "vera": "^", "lokr": "v", "adalora": "P"}
DASHES = ["-", "--", ":", "-."]


class NoDataError(Exception):
    """Why a figure can't be drawn from these records."""


def draw_parameters(block: Block, _published: Published) -> Figure:
    """Average accuracy against trainable parameters (log), a point per table row."""
    rows = [row for row in _rows(block) if row.method.trainable]
    if not rows:
        raise NoDataError("no trained method with an average")
    figure, axes = _chart(block, "accuracy against trainable parameters")
    for row in rows:
        _error_bars(axes, [row.method.trainable], [row], label=row.method.label, linestyle="none")
        rank = f"r={row.method.r}" if row.method.r else ""
        axes.annotate(
            ", ".join(filter(None, [rank, row.remark])),
            (row.method.trainable, row.average.mean),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=7,
            color=colour(row),
        )
    counts = [row.method.trainable for row in rows]
    axes.set_xscale("log")
    axes.set_xlim(min(counts) / 1.5, max(counts) * 2)  # room for the last label
    axes.set_xlabel("trainable parameters")
    return _finished(figure, axes, block, rows)


def draw_rank(block: Block, published: Published) -> Figure:
    """Average accuracy against rank r (log), with printed points where they may stand beside."""
    rows = [row for row in _rows(block) if row.method.r]
    lines = _series(rows, lambda row: row.method.r)
    if not lines:
        raise NoDataError("needs one setting with two ranks")
    figure, axes = _chart(block, "accuracy by rank")
    ranks = _draw_lines(axes, lines, lambda row: row.method.r)
    for point in _printed(block, published, getattr(published, block.suite).rows):
        if point.r and point.average is not None and point.trust != "independent":
            _draw_printed(axes, point.r, point)
            ranks.append(point.r)
    _log_ticks(axes, ranks, base=2)
    axes.set_xlabel("rank r")
    return _finished(figure, axes, block, rows)


def draw_low_resource(block: Block, published: Published) -> Figure:
    """Average accuracy against the number of training rows (log)."""
    rows = [row for row in _rows(block) if row.train_rows]
    lines = _series(rows, lambda row: row.train_rows)
    if not lines:
        raise NoDataError("needs one setting with two numbers of training rows")
    figure, axes = _chart(block, "accuracy by training rows")
    counts = _draw_lines(axes, lines, lambda row: row.train_rows)
    for point in _printed(block, published, published.low_resource):
        _draw_printed(axes, point.fraction * published.commonsense.train_rows, point)
    _log_ticks(axes, counts, base=10)
    axes.set_xlabel("training rows")
    return _finished(figure, axes, block, rows)


def draw_granularity(block: Block, published: Published) -> Figure:
    """Average accuracy by which modules are adapted, a bar per setting and set of modules."""
    rows = [row for row in _rows(block) if row.method.target_modules]
    groups = _series(rows, lambda row: row.setting["modules"])
    if not groups:
        raise NoDataError("needs one setting with two sets of modules")
    rows = [row for group in groups.values() for row in group]
    sets = sorted({row.setting["modules"] for row in rows}, key=lambda name: (len(name), name))
    figure, axes = _chart(block, "accuracy by adapted modules")
    width = 0.8 / len(groups)
    drawn = []
    for number, (label, group) in enumerate(groups.items()):
        at = [sets.index(row.setting["modules"]) + (number + 0.5) * width - 0.4 for row in group]
        shade = 0.9 - 0.25 * (drawn.count(group[0].method.name) % 3)
        drawn.append(group[0].method.name)
        means = [row.average.mean for row in group]
        axes.bar(at, means, 0.94 * width, color=colour(group[0]), alpha=shade, label=label)
        axes.errorbar(at, means, _spread(group), fmt="none", ecolor="#222222", capsize=2, lw=1)
        for x, mean in zip(at, means, strict=True):
            axes.text(x, 1, f"{mean:.1f}", ha="center", va="bottom", color="white", fontsize=8)
        for point in _printed(block, published, published.granularity):
            method = group[0].method
            if (point.method, point.r) == (method.label, method.r) and point.modules in sets:
                x = sets.index(point.modules) + (number + 0.5) * width - 0.4
                _draw_printed(axes, x, point)
    axes.set_xticks(range(len(sets)), sets)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("adapted modules (Q, K, V, U, D: query, key, value, up, down projection)")
    axes.set_ylim(bottom=0)
    return _finished(figure, axes, block, rows)


def colour(row: Row) -> str:
    """The method's own colour."""
    return COLOURS.get(row.method.name, "#555555")


def marker(row: Row) -> str:
    """The method's own marker."""
    return MARKERS.get(row.method.name, "X")


def place(block: Block) -> str:
    """What every figure of a block states: model, data, protocol and rows evaluated."""
    record = block.first
    limit = record.evaluation.limit
    return (
        f"{record.model.label}, {record.data.label}, protocol {record.protocol.name}, "
        f"{record.evaluation.scoring}, "
        + (f"at most {limit} rows a benchmark" if limit else "all test rows")
    )


def legend_outside(figure: Figure, axes: Axes) -> None:
    """One entry per label, right of the axes, where it can cover nothing."""
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(reversed(list(zip(labels, handles, strict=True))))
    figure.legend(
        [entries[label] for label in dict.fromkeys(labels)],
        dict.fromkeys(labels),
        loc="outside right upper",
    )


def _rows(block: Block) -> list[Row]:
    return [row for row in block.rows if row.average and not row.has_collapsed]


def _series(rows: Sequence[Row], axis: Callable[[Row], object]) -> dict[str, list[Row]]:
    """Rows that go together but for what the axis shows: label -> rows along the axis.

    A key of the setting parts two series if somewhere it differs at the same place of the axis.
    Series of a single place are left out.
    """
    series: dict[str, list[Row]] = {}
    for method in dict.fromkeys(row.method.label for row in rows):
        own = [row for row in rows if row.method.label == method]
        keys: dict[str, None] = {}
        for x in dict.fromkeys(map(axis, own)):
            keys |= dict.fromkeys(differing_keys([row.setting for row in own if axis(row) == x]))
        for row in own:
            words = in_words(row.setting, list(keys))
            series.setdefault(f"{method} ({words})" if words else method, []).append(row)
    return {
        label: sorted(group, key=axis)
        for label, group in series.items()
        if len(set(map(axis, group))) > 1
    }


def _draw_lines(axes: Axes, lines: dict[str, list[Row]], axis: Callable[[Row], int]) -> list[int]:
    drawn = []
    for label, rows in lines.items():
        name = rows[0].method.name
        dashes = DASHES[drawn.count(name) % len(DASHES)]
        drawn.append(name)
        _error_bars(axes, list(map(axis, rows)), rows, label=label, linestyle=dashes)
    return [axis(row) for rows in lines.values() for row in rows]


def _error_bars(axes: Axes, x: list, rows: list[Row], **style) -> None:
    axes.errorbar(
        x,
        [row.average.mean for row in rows],
        _spread(rows),
        color=colour(rows[0]),
        marker=marker(rows[0]),
        markersize=5,
        capsize=2,
        elinewidth=0.8,
        **style,
    )


def _spread(rows: Iterable[Row]) -> np.ndarray:
    """Below and above the mean (float [2, rows]): ± std over seeds, or one run's interval."""
    pairs = []
    for row in rows:
        cell = row.average
        low, high = cell.ci95 or (cell.mean - cell.std, cell.mean + cell.std)
        pairs.append((cell.mean - low, high - cell.mean))
    return np.array(pairs).T


def _printed(block: Block, published: Published, points: Iterable) -> list:
    """Those of the printed points that may stand beside a block's own: none for most blocks."""
    if not block.is_of_published_kind(getattr(published, block.suite)):
        return []
    return [point for point in points if point.model == block.first.model.label]


def _draw_printed(axes: Axes, x: float, point: PublishedRow | PublishedPoint) -> None:
    name = point.method.lower()
    axes.plot(
        x,
        point.average,
        MARKERS.get(name, "X"),
        markersize=7,
        markerfacecolor="none",
        markeredgecolor=COLOURS.get(name, "#555555"),
        label=f"{point.method}, published",
    )


def _log_ticks(axes: Axes, values: Sequence[float], base: int) -> None:
    axes.set_xscale("log", base=base)
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _chart(block: Block, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 3.6))
    axes = figure.add_subplot()
    axes.set_title(f"{block.suite.capitalize()} average: {title}\n", fontweight="bold")
    axes.text(0, 1.02, place(block), transform=axes.transAxes, fontsize=8, color="#444444")
    axes.set_ylabel("accuracy (%)")
    return figure, axes


def _finished(figure: Figure, axes: Axes, block: Block, rows: Sequence[Row]) -> Figure:
    """Add what to compare with, and how to read the bars."""
    for row in _rows(block):
        if row.method.name == "none":
            axes.axhline(row.average.mean, color="#222222", lw=1, ls="--", label=row.method.label)
    parts = rows[0].records[0].benchmarks.values()
    chance = 100 * sum(part.chance for part in parts) / len(parts)
    axes.axhline(chance, color="#999999", lw=1, ls=":", label="chance")
    seeds = any(len(row.seeds) > 1 for row in rows)
    single = any(len(row.seeds) == 1 for row in rows)
    bars = ["± standard deviation over seeds"] * seeds + ["95 % over test rows (one seed)"] * single
    figure.supxlabel(f"bars: {'; '.join(bars)}", fontsize=7, color="#444444", x=0.01, ha="left")
    legend_outside(figure, axes)
    return figure
