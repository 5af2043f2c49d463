import json
import re

import pytest

from denselora.errors import UserError
from denselora.results.blocks import build_blocks
from denselora.results.record import (
    COLUMNS,
    Benchmark,
    read_record,
    read_records,
    write_record,
)
from denselora.results.tables import measured_sheets
from tests.results.records import make_record, save


def test_record_reads_back_as_written(tmp_path):
    record = make_record("lora", r=8, seed=3)
    write_record(record, tmp_path / "runs" / "a" / "record.json")
    back = read_record(tmp_path / "runs" / "a" / "record.json")
    assert back.file == tmp_path / "runs" / "a" / "record.json"
    write_record(back, tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == back.file.read_bytes()


def test_records_are_read_in_order_of_their_names(tmp_path):
    save(tmp_path, make_record(seed=1, run_id="b"), make_record(seed=0, run_id="a"))
    assert [record.run_id for record in read_records(tmp_path)] == ["a", "b"]


def test_a_run_in_a_folder_of_another_name_is_refused(tmp_path):
    save(tmp_path, make_record(run_id="a"))
    (tmp_path / "runs/a").rename(tmp_path / "runs/a-of-another-machine")
    with pytest.raises(UserError, match=r"another-machine/record\.json: is a's; .* run id"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r["evaluation"].update(made_of={"tests": None}), "made_of"),
        (lambda r: r["config"].update(model={"name": 5}), "config.model"),
        (lambda r: r["benchmarks"]["boolq"].update(ci95=[0.1, 0.9]), "ci95"),
        (lambda r: r["average"].update(ci95=[0.1, 0.9]), "average: ci95"),
    ],
)
def test_what_does_not_follow_from_a_records_counts_is_refused(tmp_path, change, told):
    save(tmp_path, make_record(run_id="a"))
    file = tmp_path / "runs/a/record.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=told):
        read_records(tmp_path)


@pytest.mark.parametrize("figure", ["NaN", "Infinity"])
def test_a_figure_that_is_not_finite_is_refused(tmp_path, figure):
    write_record(make_record(), tmp_path / "a.json")
    text = re.sub(r'"seconds": [\d.]+', f'"seconds": {figure}', (tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a.json: training.seconds: .*finite"):
        read_record(tmp_path / "a.json")


def put(content, *keys, value):
    *path, last = keys
    for key in path:
        content = content[key]
    content[last] = value


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (["schema"], 2, "schema"),
        (["seed"], "0", "seed"),
        (["method", "trainable_percent"], 3.0, "method: trainable_percent"),
        (["benchmarks", "boolq", "correct"], 21, "benchmarks.boolq: correct"),
        (["benchmarks", "boolq", "accuracy"], 0.9, "benchmarks.boolq: accuracy"),
        (["benchmarks", "boolq", "accuracy"], None, "benchmarks.boolq.accuracy"),
        (["benchmarks", "copa"], None, "benchmarks.copa"),
        (["average", "accuracy"], 0.9, "average"),
        (["average"], None, "average"),
        (["status"], "complete", "status"),
        (["training", "collapsed"], "loss is not finite", "status"),
        (["created"], "yesterday", "created"),
        (["run_id"], "../../a", "run_id: '../../a' becomes part of a path"),
        (["model", "name"], "../a", "model.name"),
        (["protocol", "name"], "/a", "protocol.name"),
        (["comment"], "hello", "comment"),
    ],
)
def test_fault_is_reported_with_file_and_key(tmp_path, keys, value, expected):
    save(tmp_path, make_record(run_id="a"))
    path = tmp_path / "runs" / "a" / "record.json"
    content = json.loads(path.read_text())
    put(content, *keys, value=value)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(error.value)


def test_missing_key_is_reported(tmp_path):
    save(tmp_path, make_record(run_id="a"))
    path = tmp_path / "runs" / "a" / "record.json"
    content = json.loads(path.read_text())
    del content["git"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"record\.json: git: Field required"):
        read_record(path)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_file_that_is_no_record_is_reported(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.json: "):
        read_record(path)


def test_record_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(UserError, match=r"a\.json: can't be written"):
        write_record(make_record(), tmp_path / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_folder_that_is_a_file_is_reported(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        write_record(make_record(), tmp_path / "runs" / "a" / "record.json")


def test_counted_benchmark_has_accuracy_and_interval():
    part = Benchmark.counted(
        n=4, correct=3, full_n=9, unparsed=1, chance=0.5, predictions=None, seconds=1.0
    )
    assert part.accuracy == 0.75
    assert part.ci95[0] < 0.75 < part.ci95[1]


def test_average_is_missing_while_a_benchmark_is():
    assert make_record(benchmarks=["boolq", "piqa"]).average is None


def test_average_is_the_mean_of_the_suites_accuracies():
    assert make_record(correct=0.5).average.accuracy == pytest.approx(0.5)
    shares = {"gsm8k": 0.2, "AQuA": 0.4, "AddSub": 0.6, "SVAMP": 1}
    assert make_record(suite="math", correct=shares).average.accuracy == pytest.approx(0.55)


def test_files_outside_the_records_folder_are_not_looked_at(tmp_path):
    save(tmp_path, make_record(run_id="a", metrics_file="../metrics.jsonl"))
    (tmp_path / "metrics.jsonl").write_text("")
    (record,) = read_records(tmp_path)
    assert record.beside(record.training.metrics_file) is None


@pytest.fixture
def ninth(monkeypatch):
    """All benchmarks of a suite that has grown by one."""
    grown = COLUMNS["commonsense"] | {"ninth": "9th"}
    monkeypatch.setitem(COLUMNS, "commonsense", grown)
    return list(grown)


def test_a_record_is_whole_by_the_suite_that_it_was_made_for(tmp_path, ninth):
    of_eight = make_record(benchmarks=ninth[:8], limit=None)
    assert of_eight.status == "complete" and of_eight.average
    assert "ninth" not in of_eight.data.columns
    of_nine = make_record(benchmarks=ninth, suite_has=ninth, limit=None, run_id="b")
    assert of_nine.status == "complete"
    assert list(of_nine.data.columns)[-1] == "ninth"
    without_it = make_record(benchmarks=ninth[:8], suite_has=ninth, limit=None, run_id="c")
    assert without_it.status == "partial" and without_it.average is None
    save(tmp_path, of_eight, of_nine, without_it)
    assert len(read_records(tmp_path)) == 3


def test_records_of_a_suite_before_and_after_it_grew_are_never_in_one_table(ninth):
    earlier, later = make_record(benchmarks=ninth[:8]), make_record(seed=1, suite_has=ninth)
    blocks = build_blocks([earlier, later])
    assert [len(block.columns) for block in blocks] == [8, len(ninth)]
    headings = [measured_sheets(block)[0].columns for block in blocks]
    assert ["9th" in columns for columns in headings] == [False, True]


def test_a_benchmark_that_tasks_lacks_is_named(tmp_path):
    save(tmp_path, make_record(run_id="a"))
    path = tmp_path / "runs" / "a" / "record.json"
    content = json.loads(path.read_text())
    content["data"]["benchmarks"] = ["boolq", "ninth"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"record\.json: data: benchmarks: \['ninth'\] are not in"):
        read_record(path)
