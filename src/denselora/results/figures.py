"""All figures, drawn from the records as PDF and PNG."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from denselora.files import write_bytes
from denselora.results.blocks import Block
from denselora.results.charts import (
    NoDataError,
    draw_granularity,
    draw_low_resource,
    draw_rank,
)
from denselora.results.frontier import FORGETTING, MEMORY, PARAMETERS, TIME, draw_frontier
from denselora.results.heatmaps import draw_change
from denselora.results.published import Published
from denselora.results.training_curves import best_of_each_method, draw_training

STYLE = {
    "font.size": 9,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a label's $ is a dollar
}

# what a figure's name begins with -> what draws it for a block
DRAWN = {
    "parameters": partial(draw_frontier, cost=PARAMETERS),
    "memory": partial(draw_frontier, cost=MEMORY),
    "time": partial(draw_frontier, cost=TIME),
    "forgetting": partial(draw_frontier, cost=FORGETTING),
    "rank": draw_rank,
    "low-resource": draw_low_resource,
    "granularity": draw_granularity,
    "training": draw_training,
}
CHANGE = "change"  # of a run

DPI = 160
COLOURS = 256  # of a PNG: more than a chart has, and all of a colour map


def write_figures(
    blocks: Sequence[Block], published: Published, folder: str | Path
) -> tuple[list[Path], list[str]]:
    """Draw every figure that the blocks have data for; of others that were drawn here before, the
    files are removed.

    Returns the files, and for each figure left out a line that says what it lacks.
    """
    folder = Path(folder)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # else it reports every cut of a font
    written, left_out = [], []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc would change the bytes
        matplotlib.rcParams.update(STYLE)
        for name, draw in _figures(blocks):
            try:
                figure = draw(published)
            except NoDataError as lack:
                left_out.append(f"{name}: {lack}")
                continue
            # where all is placed is worked out once, not for each of the two files
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            pdf, png = folder / f"{name}.pdf", folder / f"{name}.png"
            write_bytes(pdf, _pdf(figure))
            write_bytes(png, _png(figure))
            written += [pdf, png]
    for path in {*folder.glob("*.pdf"), *folder.glob("*.png")} - {*written}:
        if path.name.startswith(tuple(f"{kind}-" for kind in (*DRAWN, CHANGE))):
            path.unlink()  # of records that are gone
    return written, left_out


def _pdf(figure: Figure) -> bytes:
    """Without a date: the same records give the same bytes."""
    drawn = BytesIO()
    figure.savefig(drawn, format="pdf", dpi=DPI, metadata={"CreationDate": None})
    return drawn.getvalue()


def _png(figure: Figure) -> bytes:
    """Without the transparency that no figure has: a tenth of the file."""
    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(
        small, "png", optimize=True, dpi=(DPI, DPI)
    )
    return small.getvalue()


def _figures(blocks: Sequence[Block]) -> Iterator[tuple[str, Callable[[Published], Figure]]]:
    names = Counter()
    for block in blocks:
        name = _name(block)
        names[name] += 1
        if names[name] > 1:  # a protocol's other version, say
            name += f"-{names[name]}"
        for kind, draw in DRAWN.items():
            yield f"{kind}-{name}", partial(draw, block)
        for row in best_of_each_method(block, "change_file"):
            yield f"{CHANGE}-{row.records[0].run_id}", partial(draw_change, block, row)


def _name(block: Block) -> str:
    record = block.first
    parts = [record.model.name, record.data.name, record.protocol.name, record.evaluation.scoring]
    if record.evaluation.quantization:
        parts.append(record.evaluation.quantization)
    if record.evaluation.limit:
        parts.append(f"limit{record.evaluation.limit}")
    return "-".join(parts)
