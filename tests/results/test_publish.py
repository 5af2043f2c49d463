import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from denselora.errors import UserError
from denselora.results.metrics import read_metrics
from denselora.results.predictions import read_predictions
from denselora.results.publish import publish_record
from denselora.results.record import read_record, read_records, write_record
from tests.results.records import make_record, prediction

METRICS = [
    {"step": 1, "loss_nats": 2.0},
    {"step": 2, "loss_nats": 1.5, "validation_loss_nats": 3.0},
]


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_of(name):
    return [prediction(number, number < 10) | {"raw": name} for number in range(20)]


def evaluated(tmp_path, **keys):
    """A record as an evaluation leaves it: JSON Lines, and the training's files above."""
    names = ["boolq", "piqa"]
    made = make_record(
        run_id="a",
        benchmarks=names,
        predictions="{}.jsonl",
        metrics_file="../metrics.jsonl",
        change_file="../change.npz",
        **keys,
    )
    folder = tmp_path / "run" / "evaluation"
    for name in names:
        write_lines(folder / f"{name}.jsonl", rows_of(name))
    write_lines(tmp_path / "run" / "metrics.jsonl", METRICS)
    (tmp_path / "run" / "change.npz").write_bytes(b"matrices")
    write_record(made, folder / "record.json")
    return read_record(folder / "record.json")


def test_published_run_is_one_folder_with_all_that_its_record_names(tmp_path):
    copy = read_record(publish_record(evaluated(tmp_path), tmp_path / "results" / "runs"))
    assert copy.file == tmp_path / "results" / "runs" / "a" / "record.json"
    assert {file.name for file in copy.file.parent.iterdir()} == {
        *("record.json", "predictions.parquet", "metrics.parquet", "change.npz")
    }
    for name, part in copy.benchmarks.items():
        assert read_predictions(copy.beside(part.predictions), name) == rows_of(name)
    assert read_metrics(copy.beside(copy.training.metrics_file)) == METRICS
    assert copy.beside(copy.training.change_file).read_bytes() == b"matrices"
    assert [one.run_id for one in read_records(tmp_path / "results")] == ["a"]
    assert [path.name for path in (tmp_path / "results" / "runs").iterdir()] == ["a"]


def test_files_that_are_gone_are_named_no_more(tmp_path):
    record = evaluated(tmp_path)
    (record.file.parent / "piqa.jsonl").unlink()
    (tmp_path / "run" / "metrics.jsonl").unlink()
    (tmp_path / "run" / "change.npz").unlink()
    copy = read_record(publish_record(record, tmp_path / "runs"))
    assert copy.benchmarks["boolq"].predictions == "predictions.parquet"
    assert copy.benchmarks["piqa"].predictions is None
    assert copy.training.metrics_file is None and copy.training.change_file is None


def test_a_published_run_can_be_published_elsewhere(tmp_path):
    first = publish_record(evaluated(tmp_path), tmp_path / "runs")
    again = publish_record(read_record(first), tmp_path / "other")
    for file in first.parent.iterdir():
        assert (again.parent / file.name).read_bytes() == file.read_bytes()


def test_publishing_again_replaces_the_whole_folder(tmp_path):
    path = publish_record(evaluated(tmp_path), tmp_path / "runs")
    (path.parent / "left.txt").write_text("of an earlier version")
    publish_record(evaluated(tmp_path, seed=5), tmp_path / "runs")
    assert not (path.parent / "left.txt").exists()
    assert read_record(path).seed == 5
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]


def test_publishing_that_fails_leaves_the_folder_as_it_was(tmp_path):
    path = publish_record(evaluated(tmp_path), tmp_path / "runs")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    record = evaluated(tmp_path, seed=5)
    write_lines(record.file.parent / "piqa.jsonl", [{"id": 1}])
    with pytest.raises(UserError, match=r"piqa\.jsonl: line 1 lacks"):
        publish_record(record, tmp_path / "runs")
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = publish_record(evaluated(tmp_path), tmp_path / "runs")
    rename = Path.rename

    def failing(self, target):
        if self.name == ".a.new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="runs/a: can't be written"):
        publish_record(evaluated(tmp_path, seed=5), tmp_path / "runs")
    assert read_record(path).seed == 0
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]


def test_processes_that_publish_a_run_at_once_all_leave_it_whole(tmp_path):
    records = [evaluated(tmp_path / str(number), seed=number) for number in range(4)]
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda one: publish_record(one, tmp_path / "runs"), 3 * records))
    assert read_record(made[0]).seed in range(4)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]


@pytest.mark.parametrize("killed", [".a.new", ".a.old"])
def test_what_a_kill_left_is_not_read_and_goes_with_the_next_publishing(tmp_path, killed):
    path = publish_record(evaluated(tmp_path), tmp_path / "runs")
    path.parent.rename(tmp_path / "runs" / killed)
    assert read_records(tmp_path) == []
    publish_record(evaluated(tmp_path), tmp_path / "runs")
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]


@pytest.mark.parametrize(("place", "name"), [("", "run"), ("run", "kept")])
def test_what_is_no_published_run_is_not_replaced(tmp_path, place, name):
    """The training's folder, above the evaluation's, and any other with files in it."""
    record = dataclasses.replace(evaluated(tmp_path), run_id=name)
    weights = tmp_path / "run" / "kept" / "adapter"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    with pytest.raises(UserError, match="no published run"):
        publish_record(record, tmp_path / place)
    assert weights.read_bytes() == b"weights" and record.file.is_file()


def test_a_place_that_takes_no_folder_is_reported(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="runs/a: can't be written"):
        publish_record(evaluated(tmp_path), tmp_path / "runs")
