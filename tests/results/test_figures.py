from dataclasses import replace

import numpy as np
import pytest
from matplotlib.lines import Line2D

from denselora.errors import UserError
from denselora.results.blocks import build_blocks
from denselora.results.change import write_change
from denselora.results.charts import (
    NoDataError,
    draw_granularity,
    draw_low_resource,
    draw_rank,
)
from denselora.results.figures import write_figures
from denselora.results.frontier import FORGETTING, PARAMETERS, draw_frontier
from denselora.results.heatmaps import draw_change
from denselora.results.metrics import METRICS, write_losses
from denselora.results.published import PUBLISHED, read_published
from denselora.results.record import NeutralText, read_records
from denselora.results.training_curves import (
    best_of_each_method,
    draw_training,
)
from tests.results.records import REAL, make_record, save, steps


@pytest.fixture(scope="module")
def published():
    return read_published(PUBLISHED)


def block_of(*records):
    (block,) = build_blocks(records)
    return block


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def data(axes) -> dict[str, list[tuple[float, float]]]:
    """Points of what the legend names."""
    handles, labels = axes.get_legend_handles_labels()
    found = {}
    for handle, label in zip(handles, labels, strict=True):
        line = handle if isinstance(handle, Line2D) else handle[0]
        found.setdefault(label, []).extend(map(tuple, line.get_xydata().round(4)))
    return found


def test_parameters_are_set_against_the_tables_averages(published):
    block = block_of(
        make_record("none", correct=0.3),
        make_record("lora", r=8, correct=0.4),
        make_record(r=16, correct=0.6),
    )
    (axes,) = draw_frontier(block, published, PARAMETERS).axes
    points = data(axes)
    assert points["LoRA"] == [(40_000, 40)]
    assert points["DenseLoRA"] == [(80_000, 60)]
    assert legend(axes) == ["LoRA", "DenseLoRA", "frontier", "Base", "chance"]


def test_a_base_far_below_is_named_and_not_drawn(published):
    records = [make_record("none", correct=0.0), make_record("lora"), make_record(correct=0.6)]
    (axes,) = draw_frontier(block_of(*records), published, PARAMETERS).axes
    assert "Base" not in legend(axes)
    assert "Base: 0.0, below what is drawn" in axes.figure.get_supxlabel()


def test_parameters_show_the_best_setting_of_a_rank_and_the_others_faint(published):
    records = [make_record(correct=0.6), make_record(correct=0.4, modules=["q_proj"])]
    records.append(make_record(correct=0.9, train_rows=500))
    (axes,) = draw_frontier(block_of(*records), published, PARAMETERS).axes
    assert data(axes)["DenseLoRA"] == [(80_000, 60)]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_alpha()] == [40]


def test_parameters_show_the_best_learning_rate_and_no_variant_that_looks_better(published):
    def run(name, correct, rate, share):
        config = {"trainer": {"learning_rate": rate}, "adapter": {"share": share}}
        return make_record(correct=correct, config=config, run_id=name)

    records = [run("a", 0.5, 1, "type"), run("b", 0.6, 2, "type"), run("c", 0.9, 1, "none")]
    (axes,) = draw_frontier(block_of(*records), published, PARAMETERS).axes
    assert data(axes)["DenseLoRA"] == [(80_000, 60)]


@pytest.mark.parametrize("name", ["miss", "unilora", "a_new_one"])
def test_any_method_has_its_faint_points(published, name):
    records = [make_record(correct=0.6), make_record(correct=0.4, modules=["q_proj"])]
    records = [replace(one, method=replace(one.method, name=name)) for one in records]
    (axes,) = draw_frontier(block_of(*records), published, PARAMETERS).axes
    assert [line.get_ydata()[0] for line in axes.lines if line.get_alpha()] == [40]


def test_forgetting_may_be_less_than_nothing(published):
    def text(loss):
        return NeutralText(file="t", hash="h", tokens=9, base_loss_nats=1.0, loss_nats=loss)

    records = [
        replace(make_record(correct=0.6), neutral_text=text(1.5)),
        replace(make_record("lora", correct=0.5), neutral_text=text(0.75)),
        make_record(r=8, correct=0.7),
    ]
    (axes,) = draw_frontier(block_of(*records), published, FORGETTING).axes
    points = data(axes)
    assert points["DenseLoRA"] == [(0.5, 60)] and points["LoRA"] == [(-0.25, 50)]
    assert points["frontier"][0] == (-0.25, 50)


def test_rank_curve_joins_ranks_of_one_setting_only(published):
    records = [make_record(r=r, correct=r / 100) for r in (20, 40)]
    records += [make_record(r=20, correct=0.1, modules=["q_proj"]), make_record("lora", r=20)]
    (axes,) = draw_rank(block_of(*records), published).axes
    points = data(axes)
    points.pop("chance")
    assert points == {"DenseLoRA": [(20, 20), (40, 40)]}


def test_rank_curve_is_not_torn_by_what_else_was_run_at_one_rank(published):
    def scaled(r, alpha):
        return {"r": r, "config": {"adapter": {"r": r, "alpha": alpha}}}

    records = [make_record(**scaled(r, 2 * r), correct=r / 100) for r in (20, 40)]
    for alpha in (20, 80):
        other = make_record(**scaled(20, alpha), run_id=f"alpha{alpha}")
        records.append(replace(other, method=replace(other.method, alpha=alpha)))
    records.append(make_record(**scaled(40, 80), modules=["q_proj"], trainable_per_r=100))
    (axes,) = draw_rank(block_of(*records), published).axes
    points = data(axes)
    points.pop("chance")
    assert points == {"DenseLoRA": [(20, 20), (40, 40)]}


def test_two_settings_with_two_ranks_are_two_curves(published):
    records = [
        make_record(r=r, correct=r / 100, config={"trainer": {"learning_rate": rate}})
        for r in (20, 40)
        for rate in (0.1, 0.2)
    ]
    (axes,) = draw_rank(block_of(*records), published).axes
    assert {"DenseLoRA (learning_rate=0.1)", "DenseLoRA (learning_rate=0.2)"} <= data(axes).keys()


def test_what_differs_along_a_curve_is_said(published):
    records = [
        make_record(r=r, config={"trainer": {"epochs": epochs}}) for r, epochs in ((8, 1), (16, 3))
    ]
    figure = draw_rank(block_of(*records), published)
    assert "along a line there also differs: epochs" in " ".join(
        figure._supxlabel.get_text().split()
    )


def test_seeds_are_one_point_with_their_spread(published):
    records = [make_record(seed=s, correct=0.4 + s / 10) for s in (0, 1)]
    (axes,) = draw_frontier(block_of(*records), published, PARAMETERS).axes
    assert data(axes)["DenseLoRA"] == [(80_000, 45)]
    (bar,) = [one for one in axes.containers if one.get_label() == "DenseLoRA"]
    (segment,) = bar[2][0].get_segments()
    assert segment[:, 1] == pytest.approx([45 - 50**0.5, 45 + 50**0.5])


def test_low_resource_curve_is_over_training_rows(published):
    records = [make_record(train_rows=rows, correct=rows / 400) for rows in (80, 160)]
    (axes,) = draw_low_resource(block_of(*records), published).axes
    assert data(axes)["DenseLoRA"] == [(80, 20), (160, 40)]


def test_granularity_has_a_bar_for_each_set_of_modules(published):
    records = [make_record(correct=0.4), make_record(correct=0.2, modules=["q_proj"])]
    (axes,) = draw_granularity(block_of(*records), published).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["Q", "QKVUD"]
    assert sorted(bar.get_height() for bar in axes.patches) == pytest.approx([20, 40])


@pytest.mark.parametrize("draw", [draw_rank, draw_low_resource, draw_granularity, draw_training])
def test_figure_without_data_says_so(draw, published):
    with pytest.raises(NoDataError):
        draw(block_of(make_record()), published)


def test_published_points_stand_only_beside_runs_of_their_kind(published):
    ranks = (16, 32)
    real = block_of(*[make_record(**REAL | {"r": r}) for r in ranks])
    points = data(draw_rank(real, published).axes[0])
    assert points["DenseLoRA, published"] == [(16, 83.8), (32, 84.6), (64, 85.0)]
    clean = block_of(*[make_record(**REAL | {"r": r, "protocol": "clean"}) for r in ranks])
    assert "DenseLoRA, published" not in data(draw_rank(clean, published).axes[0])


def test_collapsed_run_is_in_no_chart(published):
    block = block_of(make_record(seed=0), make_record(seed=1, correct=0.1, collapsed="diverged"))
    assert data(draw_frontier(block, published, PARAMETERS).axes[0])["DenseLoRA"] == [(80_000, 50)]


def save_with_losses(folder, losses, run_id, **keys):
    save(folder, make_record(run_id=run_id, metrics_file=METRICS, **keys))
    write_losses(folder / "runs" / run_id / METRICS, steps(losses))


def test_training_curve_ends_in_the_mean_of_the_last_twentieth(tmp_path, published):
    save_with_losses(tmp_path, [9.0] * 38 + [2.0, 1.0], run_id="a")
    (axes,) = draw_training(block_of(*read_records(tmp_path)), published).axes
    assert data(axes)["DenseLoRA r=16"][-1] == (40, 1.5)
    (validation,) = [line for line in axes.lines if line.get_linestyle() == "None"][:1]
    assert tuple(validation.get_xydata()[-1]) == (40, 2.0)


def test_training_curves_and_heat_maps_are_of_each_methods_best_row(tmp_path, published):
    for number, rate in enumerate((0.1, 0.2, 0.3)):
        config = {"trainer": {"learning_rate": rate}}
        save_with_losses(tmp_path, [3.0, rate], f"run{number}", correct=rate, config=config)
    block = block_of(*read_records(tmp_path))
    (best,) = best_of_each_method(block, "metrics_file")
    assert best.records[0].run_id == "run2"
    assert best_of_each_method(block, "change_file") == []
    (axes,) = draw_training(block, published).axes
    assert legend(axes) == ["DenseLoRA r=16", "validation"]


def test_heat_map_shows_every_layer_and_module(tmp_path, published):
    (tmp_path / "runs/a").mkdir(parents=True)
    modules = ["q_proj", "up_proj"]
    end = {f"M.{i}.{name}": np.full((4, 4), i + 1.0) for i in range(3) for name in modules}
    end["E.q_proj"] = np.ones((4, 8))  # a shared pair belongs to no layer
    write_change(tmp_path / "runs/a/change.npz", {name: np.zeros(()) for name in end}, end)
    save(tmp_path, make_record(run_id="a", modules=modules, change_file="change.npz"))
    block = block_of(*read_records(tmp_path))
    overview, *entries = [
        axes for axes in draw_change(block, block.rows[0], published).axes if axes.images
    ]
    assert overview.images[0].get_array().tolist() == [[1, 2, 3], [1, 2, 3]]
    assert [axes.images[0].get_array().shape for axes in entries if axes.get_title()] == [
        (4, 4)
    ] * 2


def test_figures_are_the_same_bytes_every_time_and_name_what_is_left_out(tmp_path, published):
    records = [make_record(r=r) for r in (8, 16)]
    first, left_out = write_figures(build_blocks(records), published, tmp_path / "a")
    again, _ = write_figures(build_blocks(records), published, tmp_path / "b")
    assert {path.suffix for path in first} == {".pdf", ".png"}
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert len(first) == 6
    names = [line.split("-")[0] for line in left_out]
    assert names == ["memory", "forgetting", "low", "granularity", "training"]


def test_base_alone_gives_no_figure(tmp_path, published):
    written, left_out = write_figures(build_blocks([make_record("none")]), published, tmp_path)
    assert not written
    assert any("no trained method with an average" in line for line in left_out)


def test_figures_of_records_that_are_gone_are_removed(tmp_path, published):
    before, _ = write_figures(
        build_blocks([make_record(), make_record(model="mini")]), published, tmp_path
    )
    own = tmp_path / "architecture.pdf"
    own.touch()
    after, _ = write_figures(build_blocks([make_record()]), published, tmp_path)
    assert {*tmp_path.iterdir()} == {*after, own}
    assert {*after} < {*before}


def test_a_full_disk_leaves_the_figures_as_they_were(published, tmp_path, full_disk):
    records = [make_record("lora", correct=0.4), make_record(correct=0.6)]
    files, _ = write_figures(build_blocks(records), published, tmp_path)
    before = {file: file.read_bytes() for file in files}
    with full_disk(1000), pytest.raises(UserError, match="can't be written"):
        write_figures(build_blocks([records[0], make_record(correct=0.8)]), published, tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
