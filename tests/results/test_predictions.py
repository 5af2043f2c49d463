import json

import pandas as pd
import pytest

from denselora.errors import UserError
from denselora.results.predictions import (
    PREDICTIONS,
    SCHEMA,
    aligned_outcomes,
    check_predictions,
    count,
    read_predictions,
    write_predictions,
)
from denselora.results.record import read_records
from tests.results.records import make_record, prediction, save


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_aligned_by_id_whatever_their_order(tmp_path):
    rows = [prediction(number, number in (0, 2)) for number in range(3)]
    other = [prediction(number, number == 1) for number in (2, 1, 0)]
    files = [write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", other)]
    assert aligned_outcomes(files, "boolq").tolist() == [[True, False, True], [False, True, False]]


@pytest.mark.parametrize("change", [{"prompt_hash": "else"}, {"id": 7}, {"gold": "b"}])
def test_other_prompts_are_refused(tmp_path, change):
    files = [
        write(tmp_path / "a.jsonl", [prediction(0, True)]),
        write(tmp_path / "b.jsonl", [prediction(0, True) | change]),
    ]
    with pytest.raises(UserError, match=r"a\.jsonl and .*b\.jsonl hold different prompts"):
        aligned_outcomes(files, "boolq")


@pytest.mark.parametrize("line", ["{", "[]", '{"id": 1}'])
def test_bad_row_is_reported_with_file_and_line(tmp_path, line):
    path = write(tmp_path / "a.jsonl", [prediction(0, True)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=r"a\.jsonl: line 2 "):
        read_predictions(path, "boolq")


RANKED = {"log_likelihood_nats": {"option2": -0.1234, "option1": -2.5}}


def test_published_predictions_are_those_of_the_evaluation(tmp_path):
    written = [prediction(0, True) | {"named": ["answer1", "answer2"]}]
    written += [prediction(1, False) | {"raw": "Ω ‑ \n", "parsed": None, "named": []}]
    ranked = [prediction(0, True) | RANKED]
    file = tmp_path / "predictions.parquet"
    write_predictions(file, {"boolq": written, "winogrande": ranked, "piqa": [prediction(7, True)]})
    for name, rows in {
        "boolq": written,
        "winogrande": ranked,
        "piqa": [prediction(7, True)],
    }.items():
        back = read_predictions(file, name)
        assert back == rows
        assert json.dumps(back) == json.dumps(rows)  # keys and options in their order too


def test_every_runs_file_has_the_same_plain_columns(tmp_path):
    write_predictions(tmp_path / "a.parquet", {"boolq": [prediction(0, True)]})
    write_predictions(tmp_path / "b.parquet", {"boolq": [prediction(0, True) | RANKED]})
    frames = [pd.read_parquet(tmp_path / f"{name}.parquet") for name in "ab"]
    assert list(frames[0].columns) == list(frames[1].columns) == SCHEMA.names
    assert frames[0].loc[0, "named"] is None
    options = frames[1].loc[0, "log_likelihood_nats"]
    assert [option["option"] for option in options] == ["option2", "option1"]


def test_a_key_without_a_column_is_not_lost_but_refused(tmp_path):
    with pytest.raises(UserError, match=r"row 0 of boolq has seconds, for which .* no column"):
        write_predictions(tmp_path / "a.parquet", {"boolq": [prediction(0, True) | {"seconds": 1}]})


def test_a_value_of_another_type_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.parquet: cannot be written"):
        write_predictions(tmp_path / "a.parquet", {"boolq": [prediction(0, True) | {"gold": 1}]})


def test_damaged_parquet_is_one_clear_line(tmp_path):
    file = tmp_path / "a.parquet"
    write_predictions(file, {"boolq": [prediction(0, True)]})
    whole = file.read_bytes()
    for damage in (b"", b"hello", whole[:-20], whole[: len(whole) // 2]):
        file.write_bytes(damage)
        with pytest.raises(UserError, match=r"a\.parquet: (empty|damaged or not Parquet)") as error:
            read_predictions(file, "boolq")
        assert "\n" not in str(error.value)


def test_parquet_without_a_benchmark_or_column_is_reported(tmp_path):
    write_predictions(tmp_path / "a.parquet", {"boolq": [prediction(0, True)]})
    with pytest.raises(UserError, match=r"a\.parquet: has no rows of piqa"):
        read_predictions(tmp_path / "a.parquet", "piqa")
    pd.DataFrame({"id": [1]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet: lacks the columns benchmark, prompt_hash"):
        read_predictions(tmp_path / "b.parquet", "boolq")


def test_a_row_that_is_counted_against_its_own_answer_is_refused(tmp_path):
    (record,) = save(tmp_path, make_record(benchmarks=["piqa"]))
    rows = [prediction(number, number < 10) for number in range(20)]
    rows[0]["correct"], rows[15]["correct"] = False, True  # the totals stay
    write_predictions(tmp_path / "runs" / record.run_id / PREDICTIONS, {"piqa": rows})
    (kept,) = read_records(tmp_path)
    with pytest.raises(UserError, match="row 0 of piqa is counted against its own answer"):
        check_predictions(kept)


def test_counts_unparsed_and_ambiguous():
    rows = [
        {"correct": True, "parsed": "true", "named": ["true"]},
        {"correct": False, "parsed": "true", "named": ["false", "true"]},
        {"correct": False, "parsed": None, "named": []},
    ]
    assert count(rows) == {"n": 3, "correct": 1, "unparsed": 1, "ambiguous": 1}
