"""Charts of the average accuracy of one block: by rank, training rows and modules."""

import textwrap
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from denselora.results.blocks import Block, Cell, Row
from denselora.results.published import Published, PublishedPoint, PublishedRow
from denselora.results.setting import differing_keys, in_words

# method -> its own colour and marker. Okabe and Ito's palette, told apart with any kind of colour
# vision, and for further methods darker and lighter tones of it, which need their marker.
LOOKS = {
    "denselora": ("#0072B2", "o"),
    "lora": ("#D55E00", "s"),
    "dora": ("#009E73", "D"),
    "vera": ("#CC79A7", "^"),
    "lokr": ("#56B4E9", "v"),
    "adalora": ("#E69F00", "P"),
    "hira": ("#7A3300", "<"),
    "miss": ("#004B73", ">"),
    "peanut": ("#005C43", "p"),
    "lily": ("#7D4463", "h"),
    "psoft": ("#8C6100", "8"),
    "randlora": ("#3D8AB3", "H"),
    "c3a": ("#B8A900", "d"),
    "unilora": ("#000000", "*"),
    "ia3": ("#8C8C8C", "$+$"),
    "road": ("#F0946B", "$=$"),
}
UNKNOWN = ("#555555", "X")
DASHES = ["-", "--", ":", "-."]
HEIGHT, LINE = 3.6, 0.19  # inches: of a chart, of a line of its legend
REFERENCE = "reference line"
# keys of a setting that an axis shows, or that follow what it shows
AXES = {
    *("r", "train_rows", "modules", "trainable", "data.n_train", "data.fraction"),
    *("adapter.r", "adapter.alpha", "adapter.target_modules"),
}


class NoDataError(Exception):
    """Why a figure can't be drawn from these records."""


def draw_rank(block: Block, published: Published) -> Figure:
    """Average accuracy against rank r (log), with printed points where they may stand beside."""
    rows = [row for row in rows_of(block) if row.method.r]
    lines, common = _series(rows, lambda row: row.method.r)
    if not lines:
        raise NoDataError("needs one setting with two ranks")
    axes = chart(block, "accuracy by rank")
    ranks = _draw_lines(axes, lines, lambda row: row.method.r)
    for point in _printed(block, published, getattr(published, block.suite).rows):
        if point.r and point.average is not None and point.trust != "independent":
            _draw_printed(axes, point.r, point)
            ranks.append(point.r)
    _log_ticks(axes, ranks, base=2)
    axes.set_xlabel("rank r")
    return finished(axes, block, _all(lines), common)


def draw_low_resource(block: Block, published: Published) -> Figure:
    """Average accuracy against the number of training rows (log)."""
    rows = [row for row in rows_of(block) if row.train_rows]
    lines, common = _series(rows, lambda row: row.train_rows)
    if not lines:
        raise NoDataError("needs one setting with two numbers of training rows")
    axes = chart(block, "accuracy by training rows")
    counts = _draw_lines(axes, lines, lambda row: row.train_rows)
    points = published.low_resource if block.suite == "commonsense" else []
    for point in _printed(block, published, points):
        _draw_printed(axes, point.fraction * published.commonsense.train_rows, point)
    _log_ticks(axes, counts, base=10)
    axes.set_xlabel("training rows")
    return finished(axes, block, _all(lines), common)


def draw_granularity(block: Block, published: Published) -> Figure:
    """Average accuracy by which modules are adapted, a bar per setting and set of modules."""
    rows = [row for row in rows_of(block) if row.method.target_modules]
    groups, common = _series(rows, lambda row: row.setting["modules"])
    if not groups:
        raise NoDataError("needs one setting with two sets of modules")
    rows = _all(groups)
    sets = sorted({row.setting["modules"] for row in rows}, key=lambda name: (len(name), name))
    axes = chart(block, "accuracy by adapted modules")
    width = 0.8 / len(groups)
    drawn = []
    for number, (label, group) in enumerate(groups.items()):
        at = [sets.index(row.setting["modules"]) + (number + 0.5) * width - 0.4 for row in group]
        shade = 0.9 - 0.25 * (drawn.count(group[0].method.name) % 3)
        drawn.append(group[0].method.name)
        means = [row.average.mean for row in group]
        bars = axes.bar(
            at, means, 0.94 * width, yerr=_spread(group), label=label,
            color=colour(group[0]), alpha=shade,
            error_kw={"ecolor": "#222222", "capsize": 2, "lw": 1},
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.1f", rotation=90, padding=3, fontsize=8)
        points = published.granularity if block.suite == "commonsense" else []
        for point in _printed(block, published, points):
            method = group[0].method
            if (point.method, point.r) == (method.label, method.r) and point.modules in sets:
                x = sets.index(point.modules) + (number + 0.5) * width - 0.4
                _draw_printed(axes, x, point)
    axes.set_xticks(range(len(sets)), sets)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("adapted modules (Q, K, V, U, D: query, key, value, up, down projection)")
    axes.set_ylim(0, 1.12 * axes.get_ylim()[1])  # the numbers stand above the bars
    return finished(axes, block, rows, common)


def colour(row: Row) -> str:
    """The method's own colour."""
    return LOOKS.get(row.method.name, UNKNOWN)[0]


def marker(row: Row) -> str:
    """The method's own marker."""
    return LOOKS.get(row.method.name, UNKNOWN)[1]


def place(block: Block) -> str:
    """What every figure of a block states: model, data, protocol and rows evaluated."""
    record = block.first
    limit, quantization = record.evaluation.limit, record.evaluation.quantization
    return (
        f"{record.model.label}, {record.data.label}, protocol {record.protocol.name}, "
        f"{record.evaluation.scoring}, "
        + (f"{quantization} base, " if quantization else "")
        + (f"at most {limit} rows a benchmark" if limit else "all test rows")
    )


def chart(block: Block, title: str) -> Axes:
    """Axes of an empty chart with its heading."""
    figure = Figure(figsize=(7, HEIGHT))
    figure.suptitle(title[0].upper() + title[1:], x=0.01, ha="left", fontsize=10, fontweight="bold")
    axes = figure.add_subplot()
    axes.set_title(place(block), fontsize=8, color="#444444")
    return axes


def annotate(axes: Axes, note: str) -> None:
    """The legend beside the axes, where it can cover nothing, and how to read the chart below."""
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    last = [label for label, handle in entries.items() if _is_reference(handle)]
    labels = [label for label in entries if label not in last] + last
    # too wide a legend would leave no room for the axes
    wrapped = [textwrap.fill(label, 32, break_on_hyphens=False) for label in labels]
    handles = [entries[label] for label in labels]
    axes.legend(handles, wrapped, loc="upper left", bbox_to_anchor=(1.01, 1))
    lines = sum(label.count("\n") + 1 for label in wrapped)
    axes.figure.set_figheight(max(HEIGHT, lines * LINE + 1.2))  # the legend's, heading and note
    note = textwrap.fill(note, 125)
    axes.figure.supxlabel(note, fontsize=7, color="#444444", x=0.01, ha="left")


def _is_reference(handle) -> bool:
    return isinstance(handle, Line2D) and handle.get_gid() == REFERENCE


def rows_of(block: Block) -> list[Row]:
    """The rows of a block that a chart can show."""
    return [row for row in block.rows if row.average and not row.has_collapsed]


def _series(rows: Sequence[Row], axis: Callable[[Row], object]) -> tuple[dict[str, list[Row]], str]:
    """Rows that go together but for what the axis shows, and what all of them have in common.

    A key of the setting parts two series if somewhere it differs at the same place of the axis.
    Series of a single place are left out. Returns label -> rows along the axis, and in words also
    what else differs along one.
    """
    series: dict[tuple, list[Row]] = {}
    keys: dict[str, dict[str, None]] = {}
    for method in dict.fromkeys(row.method.label for row in rows):
        own = [row for row in rows if row.method.label == method]
        keys[method] = {}
        for x in dict.fromkeys(map(axis, own)):
            settings = [row.setting for row in own if axis(row) == x]
            keys[method] |= dict.fromkeys(differing_keys(settings))
        for row in own:
            values = tuple(row.setting.get(key) for key in keys[method])
            series.setdefault((method, values), []).append(row)
    drawn = {name: group for name, group in series.items() if len(set(map(axis, group))) > 1}
    settings = [row.setting for row in _all(drawn)]
    common = {}
    for key in dict.fromkeys(key for method in keys.values() for key in method):
        # what only one method has, activation say, is no difference to the others
        values = {setting[key] for setting in settings if key in setting}
        if len(values) == 1:
            common[key] = values.pop()
    labelled = {}
    for (method, _), group in drawn.items():
        words = in_words(group[0].setting, [key for key in keys[method] if key not in common])
        labelled[f"{method} ({words})" if words else method] = sorted(group, key=axis)
    along = {
        key.rsplit(".", 1)[-1]: None
        for group in drawn.values()
        for key in group[0].setting
        if key not in AXES
        and not key.startswith("adapter.peft.")
        and len({row.setting.get(key) for row in group}) > 1
    }
    also = f"along a line there also differs: {', '.join(along)}" if along else ""
    return labelled, "; ".join(filter(None, [in_words(common, common), also]))


def _all(series: dict[object, list[Row]]) -> list[Row]:
    return [row for group in series.values() for row in group]


def _draw_lines(axes: Axes, lines: dict[str, list[Row]], axis: Callable[[Row], int]) -> list[int]:
    drawn = []
    for label, rows in lines.items():
        name = rows[0].method.name
        dashes = DASHES[drawn.count(name) % len(DASHES)]
        drawn.append(name)
        error_bars(axes, list(map(axis, rows)), rows, label=label, linestyle=dashes)
    return list(map(axis, _all(lines)))


def error_bars(axes: Axes, x: list, rows: list[Row], **style) -> None:
    """A method's averages with their spread, in its colour and marker."""
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


def bar_ends(cell: Cell) -> tuple[float, float]:
    """Where a mean's bar ends: at one standard deviation over seeds, or one run's interval."""
    return cell.ci95 or (cell.mean - cell.std, cell.mean + cell.std)


def _spread(rows: Iterable[Row]) -> np.ndarray:
    """How far bars go below and above the mean, float [2, rows]."""
    pairs = []
    for row in rows:
        cell = row.average
        low, high = bar_ends(cell)
        pairs.append((cell.mean - low, high - cell.mean))
    return np.array(pairs).T


def _printed(block: Block, published: Published, points: Iterable) -> list:
    """Those of the printed points that may stand beside a block's own: none for most blocks."""
    if not block.is_of_published_kind(getattr(published, block.suite)):
        return []
    return [
        point
        for point in points
        if point.model == block.first.model.label and getattr(point, "data", None) is None
    ]


def _draw_printed(axes: Axes, x: float, point: PublishedRow | PublishedPoint) -> None:
    colour, marker = LOOKS.get(point.method.lower(), UNKNOWN)
    axes.plot(
        x,
        point.average,
        marker=marker,
        markersize=7,
        markerfacecolor="white",
        markeredgecolor=colour,
        linestyle="none",
        zorder=4,
        label=f"{point.method}, published",
    )


def _log_ticks(axes: Axes, values: Sequence[float], base: int) -> None:
    axes.set_xscale("log", base=base)
    ticks, span = [], max(values) / min(values)
    for value in sorted(set(values), reverse=True):
        if not ticks or ticks[-1] / value > span**0.06:  # or their labels would touch
            ticks.append(value)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def finished(axes: Axes, block: Block, rows: Sequence[Row], common: str) -> Figure:
    """Add what to compare with, and how to read the bars."""
    axes.set_ylabel(f"{block.suite} average, accuracy (%)")
    references = [("chance", 100 * rows[0].records[0].chance, ":")]
    for row in rows_of(block):
        if row.method.name == "none":
            references.insert(0, (row.method.label, row.average.mean, "--"))
    low, high = axes.get_ylim()
    below = []
    for name, value, dashes in references:
        if value > low - (high - low) / 4:
            axes.axhline(value, color="#444444", lw=1, ls=dashes, label=name, gid=REFERENCE)
        else:  # it would press all else together
            below.append(f"{name}: {value:.1f}, below what is drawn")
    seeds = any(len(row.seeds) > 1 for row in rows)
    single = any(len(row.seeds) == 1 for row in rows)
    bars = ["± standard deviation over seeds"] * seeds + ["95 % over test rows (one seed)"] * single
    annotate(axes, "; ".join(filter(None, [f"bars: {', or '.join(bars)}", *below, common])))
    return axes.figure
