from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from denselora.command_line.configs import composed
from denselora.errors import UserError
from denselora.results.blocks import build_blocks
from denselora.results.predictions import read_predictions, write_predictions
from denselora.results.published import PUBLISHED, read_published
from denselora.results.record import FIRST, Average, Benchmark, read_records
from tests.results.records import REAL, make_record, prediction, save


def only(rows, method):
    (row,) = [row for row in rows if row.method.name == method]
    return row


def rows_of(*records, **kwargs):
    (block,) = build_blocks(records, **kwargs)
    return block.rows


@pytest.mark.parametrize(
    "other",
    [
        {"model": "mini"},
        {"protocol": "clean"},
        {"limit": 10},
        {"data": ("lab", "another split")},
        {"suite": "math"},
    ],
)
def test_runs_that_may_not_be_compared_are_in_blocks_of_their_own(other):
    assert len(build_blocks([make_record(), make_record("lora", **other)])) == 2


def test_average_is_over_benchmarks_not_rows():
    shares = dict.fromkeys(FIRST["commonsense"], 0.0) | {"hellaswag": 1.0}
    (row,) = rows_of(make_record(correct=shares, limit=None))
    assert row.average.mean == pytest.approx(100 / 8)


def test_seeds_of_one_setting_become_mean_and_spread():
    (row,) = rows_of(make_record(seed=0, correct=0.5), make_record(seed=1, correct=0.6))
    assert row.seeds == [0, 1]
    assert row.cell("boolq").mean == pytest.approx(55)
    assert row.average.std == pytest.approx(50**0.5)
    assert row.average.ci95 is None


def test_runs_with_another_config_are_not_averaged():
    rows = rows_of(
        make_record(seed=0), make_record(seed=1, config={"trainer": {"learning_rate": 1e-4}})
    )
    assert [row.label for row in rows] == [
        "DenseLoRA (learning_rate=0.0001)",
        "DenseLoRA (learning_rate=0.0003)",
    ]


def test_adapted_modules_tell_rows_apart():
    rows = rows_of(make_record(), make_record(modules=["q_proj"], trainable_per_r=100))
    assert [row.remark for row in rows] == [
        "modules=Q",
        "modules=QKVUD",
    ]


def test_collapsed_run_is_counted_and_shown_but_in_no_mean():
    sound, broken = rows_of(
        make_record(seed=0, correct=0.5),
        make_record(seed=1, correct=0.1, collapsed="loss is not finite at step 7"),
    )
    assert (sound.seeds, sound.collapsed, sound.average.mean) == ([0], 1, pytest.approx(50))
    assert broken.has_collapsed and broken.seeds == [1]


def test_setting_whose_runs_all_collapsed_has_rows_but_no_difference():
    (block,) = build_blocks(
        [make_record("lora"), make_record(collapsed="loss is not finite at step 7")]
    )
    assert only(block.rows, "denselora").to_lora is None
    assert block.references == []


def test_same_setting_and_seed_twice_is_refused(tmp_path):
    save(tmp_path, make_record(run_id="a"), make_record(run_id="b"))
    with pytest.raises(
        UserError, match=r"a/record\.json and .*b/record\.json are the same setting and seed"
    ):
        build_blocks(read_records(tmp_path))


def test_runs_on_other_test_files_are_refused():
    shorter = make_record("lora")
    benchmarks = shorter.benchmarks | {
        "boolq": type(shorter.benchmarks["boolq"]).counted(
            n=10, full_n=10, correct=5, unparsed=0, chance=0.5, predictions=None, seconds=1
        )
    }
    average = Average.of(benchmarks, shorter.data)
    shorter = type(shorter)(**vars(shorter) | {"benchmarks": benchmarks, "average": average})
    with pytest.raises(UserError, match="rows of boolq"):
        build_blocks([make_record(), shorter])


def test_difference_is_to_the_best_lora_of_the_same_seeds_and_rows():
    rows = rows_of(
        make_record("lora", r=8, correct=0.4),
        make_record("lora", r=16, correct=0.45),
        make_record("lora", r=32, correct=0.9, train_rows=80),
        make_record("lora", r=64, correct=0.9, seed=1),
        make_record(correct=0.6),
    )
    assert only(rows, "denselora").to_lora.mean == pytest.approx(15)
    assert only(rows, "denselora").to_lora.ci95 is None
    small = next(row for row in rows if row.method.r == 8)
    assert small.to_lora.mean == pytest.approx(-5)


def test_a_single_seed_is_set_against_the_same_seed_of_a_lora_that_has_more():
    records = [make_record("lora", seed=seed, correct=0.5 + seed / 10) for seed in (0, 1)]
    stray = make_record("lora", correct=0.4, config={"trainer": {"epochs": 3}}, run_id="stray")
    row = only(rows_of(*records, stray, make_record(correct=0.45)), "denselora")
    assert len(row.lora.seeds) == 2
    assert row.to_lora.mean == pytest.approx(-5, abs=0.5)
    assert row.to_lora.p_over_seeds is None


def test_no_difference_to_lora_with_other_seeds():
    rows = rows_of(make_record("lora", seed=0), make_record(seed=1))
    assert only(rows, "denselora").to_lora is None


def test_no_difference_without_an_average():
    rows = rows_of(make_record("lora"), make_record(benchmarks=["boolq"]))
    assert only(rows, "denselora").average is None
    assert only(rows, "denselora").to_lora is None


def test_cell_is_missing_unless_every_seed_has_it():
    (row,) = rows_of(make_record(seed=0), make_record(seed=1, benchmarks=["boolq"]))
    assert row.cell("boolq") is not None
    assert row.cell("piqa") is None


@pytest.mark.parametrize(("ours", "significant"), [(0.7, True), (0.45, False)])
def test_difference_is_tested_on_paired_predictions(tmp_path, ours, significant):
    save(tmp_path, make_record("lora", correct=0.4), make_record(correct=ours), predictions=True)
    # one row in which LoRA alone is right, so that a small lead is a draw
    (path,) = tmp_path.glob("runs/*-denselora-*/predictions.parquet")
    rows = {name: read_predictions(path, name) for name in FIRST["commonsense"]}
    for predictions in rows.values():
        predictions[0] |= prediction(0, correct=False)
    write_predictions(path, rows)
    row = only(build_blocks(read_records(tmp_path))[0].rows, "denselora")
    assert row.to_lora.significant is significant


def test_seeds_are_tested_together(tmp_path):
    for seed in (0, 1):
        save(
            tmp_path,
            make_record("lora", seed=seed, correct=0.4),
            make_record(seed=seed, correct=0.8),
            predictions=True,
        )
    row = only(build_blocks(read_records(tmp_path))[0].rows, "denselora")
    low, high = row.to_lora.ci95
    assert 0 < low < row.to_lora.mean < high


def test_what_the_seeds_do_not_show_is_not_significant(tmp_path):
    for seed, ours in enumerate((0.9, 0.45)):
        lora = make_record("lora", seed=seed, correct=0.4)
        save(tmp_path, lora, make_record(seed=seed, correct=ours), predictions=True)
    row = only(build_blocks(read_records(tmp_path))[0].rows, "denselora")
    assert row.to_lora.ci95[0] > 0 and row.to_lora.p_over_seeds > 0.05
    assert row.to_lora.significant is False


def test_difference_without_predictions_is_untested(tmp_path):
    save(tmp_path, make_record("lora"))
    save(tmp_path, make_record(correct=0.9), predictions=True)
    row = only(build_blocks(read_records(tmp_path))[0].rows, "denselora")
    assert row.to_lora.significant is None


@pytest.mark.parametrize("other", [{"scoring": "choice"}, {"quantization": "nf4"}])
def test_ranked_answers_and_quantised_bases_are_not_set_against_print(other):
    record = make_record(**REAL)
    record = replace(record, evaluation=replace(record.evaluation, **other))
    published = {"commonsense": read_published(PUBLISHED).commonsense}
    ((row,),) = [block.rows for block in build_blocks([record], published)]
    assert row.to_published is None


def test_another_protocol_of_the_papers_name_or_other_test_files_are_not_set_against_print():
    record = make_record(**REAL)
    shorter = Benchmark.counted(
        n=9, full_n=9, correct=5, unparsed=0, chance=0.5, predictions=None, seconds=1
    )
    benchmarks = record.benchmarks | {"piqa": shorter}
    published = {"commonsense": read_published(PUBLISHED).commonsense}
    for other in (
        replace(record, protocol=replace(record.protocol, hash="ffffffffffff")),
        replace(record, config=record.config | {"protocol": {"name": "clean"}}),
        replace(record, config=record.config | {"data": {"name": "lab"}}),
        replace(record, benchmarks=benchmarks, average=Average.of(benchmarks, record.data)),
    ):
        ((row,),) = [block.rows for block in build_blocks([other], published)]
        assert row.to_published is None


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": {"name": "paper", "cutoff": 256}},
        {"data": {"name": "lab", "train_file": "other.json"}},
        {"quantization": "nf4"},
    ],
)
def test_a_lora_that_was_trained_otherwise_is_no_reference(other):
    ours = {"protocol": {"name": "paper", "cutoff": 512}, "data": {"name": "lab"}}
    lora = make_record("lora", correct=0.4, config=ours | other)
    rows = rows_of(lora, make_record(correct=0.6, config=ours))
    assert only(rows, "denselora").to_lora is None
    alike = rows_of(make_record("lora", correct=0.4, config=ours), *[make_record(config=ours)])
    assert only(alike, "denselora").to_lora


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({}, 50 - 83.8),
        ({"method": "lora", "r": 32}, 50 - 80.8),  # printed, not the independent ones
        ({"r": 8}, None),
        ({"limit": 20}, None),
        ({"protocol": "clean"}, None),
        ({"train_rows": 17_042}, None),
        ({"data": ("lab", "lab split")}, None),
        ({"model": "mini"}, None),
    ],
)
def test_difference_to_published_sets_like_against_like(other, difference):
    record = make_record(**REAL | {"correct": 0.5} | other)
    published = {"commonsense": read_published(PUBLISHED).commonsense}
    ((row,),) = [block.rows for block in build_blocks([record], published)]
    if difference is None:
        assert row.to_published is None
    else:
        assert row.to_published == pytest.approx(difference, abs=0.6)


@pytest.mark.parametrize(
    ("option", "stands"),
    [("adapter.r=32", True), ("adapter.activation=relu", False), ("seed=7", True),
     ("adapter.target_modules=[q_proj]", False), ("+adapter.peft.bias=all", False)],
)  # fmt: skip
def test_an_ablation_is_not_set_against_print(option, stands):
    of_paper = ["model=llama3_8b", "protocol=paper", "data=commonsense_170k"]
    config = OmegaConf.to_container(composed("train", [*of_paper, option]), resolve=True)
    record = make_record(**REAL, r=config["adapter"]["r"], config=config)
    published = {"commonsense": read_published(PUBLISHED).commonsense}
    ((row,),) = [block.rows for block in build_blocks([record], published)]
    assert (row.to_published is not None) is stands


def test_ambiguous_answers_are_missing_where_they_were_not_counted():
    (row,) = rows_of(make_record())
    assert (row.unparsed, row.ambiguous) == (0, None)


def test_runs_on_other_golds_are_not_set_side_by_side():
    def with_rows(record, digest):
        made_of = {"tests": {"boolq": digest}}
        return replace(record, evaluation=replace(record.evaluation, made_of=made_of))

    runs = [make_record(), make_record("lora")]
    assert len(build_blocks([with_rows(runs[0], "a"), with_rows(runs[1], "a")])) == 1
    assert len(build_blocks([with_rows(runs[0], "a"), runs[1]])) == 1  # an older record
    with pytest.raises(UserError, match="other rows or golds of boolq"):
        build_blocks([with_rows(runs[0], "a"), with_rows(runs[1], "b")])
