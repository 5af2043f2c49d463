import pytest

from denselora.errors import UserError
from denselora.results.record import read_records
from denselora.results.trace import trace
from tests.results.records import make_record, save


@pytest.fixture
def records(tmp_path):
    save(
        tmp_path,
        make_record("lora", correct=0.4, run_id="a"),
        make_record(correct=0.7, run_id="b"),
        make_record(seed=1, correct=0.6, run_id="c"),
        predictions=True,
    )
    return read_records(tmp_path)


def test_cell_leads_to_its_records_and_predictions(records, tmp_path):
    lines = trace(records, "DenseLoRA r=16 BoolQ")
    assert [line for line in lines if not line.startswith(" ")] == [
        str(tmp_path / "runs" / "b" / "record.json"),
        str(tmp_path / "runs" / "c" / "record.json"),
    ]
    (shown,) = [line for line in lines if "14 of 20 right = 70.0 %" in line]
    assert shown.endswith(str(tmp_path / "runs" / "b" / "predictions.parquet"))
    assert not any("PIQA" in line for line in lines)


def test_benchmark_is_tested_against_lora_row_by_row(tmp_path):
    save(tmp_path, make_record("lora", correct=0.4), make_record(correct=0.7), predictions=True)
    (line,) = [one for one in trace(read_records(tmp_path), "denselora boolq") if "McNemar" in one]
    # 6 rows that only DenseLoRA has right: 2 · 0.5^6
    assert "+30.0 to LoRA" in line
    assert "only this one right 6, only LoRA 0, McNemar p = 0.031" in line


def test_without_a_benchmark_the_whole_row_is_shown(records):
    lines = trace(records, "c")
    assert sum("of 20 right" in line for line in lines) == 8
    assert lines[-1].startswith("  average: 60.0 %")


def test_predictions_that_are_not_there_are_reported(tmp_path):
    save(tmp_path, make_record(run_id="b"))
    assert (
        "predictions.parquet (not among the results)" in trace(read_records(tmp_path), "BoolQ")[2]
    )


def test_rows_are_told_apart_by_what_a_table_says_beside_the_method(tmp_path):
    def rate(value):
        return {"config": {"trainer": {"learning_rate": value}}}

    rows = [make_record(run_id="a", **rate(0.1)), make_record(run_id="b", **rate(0.2))]
    save(tmp_path, *rows, make_record(run_id="c", train_rows=7, **rate(0.2)))
    found = trace(read_records(tmp_path), "DenseLoRA learning_rate=0.2 train_rows=7")
    (first,) = [line for line in found if not line.startswith(" ")]
    assert first == str(tmp_path / "runs" / "c" / "record.json")


def test_unknown_word_is_reported_with_the_known_ones(records):
    with pytest.raises(UserError, match=r"no record has 'vera'; known are .*denselora.*r16"):
        trace(records, "VeRA BoolQ")


def test_words_that_no_record_has_together_are_reported(records):
    with pytest.raises(UserError, match="no record has all of lora, seed1"):
        trace(records, "LoRA seed=1")


def test_empty_results_are_reported():
    with pytest.raises(UserError, match="no record"):
        trace([], "LoRA")
