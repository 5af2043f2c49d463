"""Heat maps of how far training moved each matrix."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from denselora.results.blocks import Block, Row
from denselora.results.change import read_change
from denselora.results.charts import NoDataError, place
from denselora.results.published import Published
from denselora.results.record import Record

# Matrices that every layer and module has its own of, and their sides: DenseLoRA's M, LoRA's A, B.
PER_LAYER = {"M": ("r", "r"), "A": ("r", "in"), "B": ("out", "r")}


def draw_change(block: Block, row: Row, _published: Published) -> Figure:
    """|matrix - matrix at start| of a row's first run.

    A line of panels per matrix (M, or A and B): on the left the mean by layer and module, then
    the entries themselves in the middle layer, module by module. Each line has its own scale,
    from zero.
    """
    record = row.records[0]
    path = record.training and record.beside(record.training.change_file)
    if not path:
        raise NoDataError("no summary of change beside the record")
    changes = {
        tuple(name.split(".")): values
        for name, values in read_change(path).items()
        if name.split(".")[0] in PER_LAYER
    }
    if not changes:
        raise NoDataError("no matrix of a layer's own in the summary of change")
    matrices = [matrix for matrix in PER_LAYER if any(key[0] == matrix for key in changes)]
    layers = sorted({int(layer) for _, layer, _ in changes})
    modules = _in_order(record, {module for _, _, module in changes})
    middle = layers[len(layers) // 2]

    figure = Figure(figsize=(3.6 + 1.5 * len(modules), 0.8 + 2.2 * len(matrices)))
    title = f"{_name(row, record)}: change of {' and '.join(matrices)} in training"
    figure.suptitle(f"{title}\n{place(block)}", x=0.01, ha="left", fontsize=9)
    panels = figure.subplots(
        len(matrices), 1 + len(modules), squeeze=False, width_ratios=[2.2] + [1] * len(modules)
    )
    for line, matrix in zip(panels, matrices, strict=True):
        means = np.array(
            [[_mean(changes.get((matrix, str(layer), module))) for layer in layers]
             for module in modules]
        )  # fmt: skip
        image = _panel(line[0], means, np.nanmax(means))
        line[0].set_title(f"mean |Δ{matrix}|", fontsize=8)
        line[0].set_yticks(range(len(modules)), modules, fontsize=7)
        shown = range(0, len(layers), max(1, len(layers) // 6))
        line[0].set_xticks(shown, [layers[i] for i in shown], fontsize=7)
        line[0].set_xlabel("layer", fontsize=8)
        figure.colorbar(image, ax=line[0], shrink=0.8).ax.tick_params(labelsize=6)

        entries = [
            changes.get((matrix, str(middle), module), np.zeros((1, 1))) for module in modules
        ]
        highest = max(values.max() for values in entries)
        for axes, module, values in zip(line[1:], modules, entries, strict=True):
            image = _panel(axes, values, highest)
            axes.set_title(f"|Δ{matrix}| {module}\nlayer {middle}", fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(PER_LAYER[matrix][1], fontsize=8)
        line[1].set_ylabel(PER_LAYER[matrix][0], fontsize=8)
        figure.colorbar(image, ax=list(line[1:]), shrink=0.8).ax.tick_params(labelsize=6)
    return figure


def _mean(change: np.ndarray | None) -> float:
    """nan, which stays blank, where a layer doesn't have the module."""
    return float("nan") if change is None else change.mean()


def _panel(axes: Axes, values: np.ndarray, highest: float):
    axes.grid(False)
    return axes.imshow(values, aspect="auto", cmap="cividis", vmin=0, vmax=highest or 1)


def _in_order(record: Record, modules: set[str]) -> list[str]:
    """Modules in the order in which the run names them."""
    named = record.method.target_modules or []
    return [name for name in named if name in modules] + sorted(modules - set(named))


def _name(row: Row, record: Record) -> str:
    rank = f" r={row.method.r}" if row.method.r else ""
    seed = "" if record.seed is None else f", seed {record.seed}"
    return f"{row.label}{rank}{seed}"
