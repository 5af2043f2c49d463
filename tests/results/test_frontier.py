from dataclasses import replace
from itertools import combinations

import matplotlib
import pytest
from matplotlib.text import Annotation

from denselora.results.blocks import build_blocks
from denselora.results.charts import NoDataError
from denselora.results.figures import STYLE
from denselora.results.frontier import MEMORY, PARAMETERS, draw_frontier, frontier
from denselora.results.published import PUBLISHED, read_published
from tests.results.records import make_record


def block_of(*records):
    (block,) = build_blocks(records)
    return block


def test_the_frontier_is_what_no_cheaper_row_beats():
    records = [
        make_record("lora", r=4, correct=0.5),
        make_record("lora", r=8, correct=0.4),
        make_record("vera", r=8, correct=0.55),
        make_record("lora", r=16, correct=0.8),
        make_record(r=32, correct=0.8),
    ]
    block = block_of(*records)
    front = frontier(block.rows, PARAMETERS.of)
    assert [(row.method.name, row.method.r) for row in front] == [
        ("lora", 4), ("vera", 8), ("lora", 16)
    ]  # fmt: skip
    figure = draw_frontier(block, read_published(PUBLISHED), PARAMETERS)
    words = " ".join(figure.get_supxlabel().split())
    assert "on the frontier: LoRA r=4, VeRA r=8, LoRA r=16;" in words


def test_labels_of_points_that_lie_close_cover_each_other_nowhere():
    records = [
        make_record(method, r=r, correct=0.6 + (r + at) / 1000)
        for at, method in enumerate(("lora", "vera", "denselora"))
        for r in (16, 17)
    ]
    figure = draw_frontier(block_of(*records), read_published(PUBLISHED), PARAMETERS)
    (axes,) = figure.axes
    labels = [text for text in axes.texts if isinstance(text, Annotation)]
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_the_axis_is_where_the_points_are():
    records = [make_record("lora", r=r, correct=0.8) for r in (4, 8)]
    (axes,) = draw_frontier(block_of(*records), read_published(PUBLISHED), PARAMETERS).axes
    low, high = axes.get_ylim()
    assert 60 < low < 80 < high < 95


def test_a_block_without_the_figure_is_not_drawn():
    with pytest.raises(NoDataError, match="training memory"):
        draw_frontier(block_of(make_record("lora")), read_published(PUBLISHED), MEMORY)


def test_a_long_legend_covers_neither_the_note_nor_leaves_the_figure():
    names = [f"method {number}" for number in range(20)]
    one = make_record("lora", r=4, correct=0.5)
    records = [
        replace(one, run_id=name, method=replace(one.method, name=name, label=name.upper()))
        for name in names
    ]
    with matplotlib.rc_context(STYLE):
        figure = draw_frontier(block_of(*records), read_published(PUBLISHED), PARAMETERS)
        figure.canvas.draw()
    legend = figure.axes[0].get_legend().get_window_extent()
    assert not legend.overlaps(figure._supxlabel.get_window_extent())
    assert legend.y0 >= 0 and legend.y1 <= figure.bbox.y1
