import json

import pytest

from denselora.errors import UserError
from denselora.results.metrics import read_losses, read_metrics, write_losses
from tests.results.records import steps


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_either(path, rows):
    (write_losses if path.suffix == ".parquet" else write_lines)(path, rows)


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.parquet"])
def test_losses_are_read_by_step(tmp_path, name):
    write_either(tmp_path / name, steps([3.0, 2.0, 1.0]))
    losses = read_losses(tmp_path / name)
    assert losses["loss_nats"].tolist() == [[1, 2, 3], [3, 2, 1]]
    assert losses["validation_loss_nats"].tolist() == [[2], [3]]


@pytest.mark.parametrize("line", ["{", "[]", '{"loss_nats": 1}'])
def test_bad_metrics_are_reported_with_file_and_line(tmp_path, line):
    write_lines(tmp_path / "metrics.jsonl", steps([1.0]))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 2"):
        read_losses(tmp_path / "metrics.jsonl")


def test_published_losses_are_those_of_the_training_to_the_last_bit(tmp_path):
    rows = [
        {"step": 1, "loss_nats": 13.030869483947754, "learning_rate": 0.0, "tokens": 306},
        {"step": 2, "loss_nats": 1 / 3, "learning_rate": 1e-4, "tokens": 2**40},
        {"step": 3, "loss_nats": float("inf"), "tokens": 2**40, "skipped": "loss is inf"},
    ]
    write_losses(tmp_path / "metrics.parquet", rows)
    assert read_metrics(tmp_path / "metrics.parquet") == [
        {"step": row["step"], "loss_nats": row["loss_nats"]} for row in rows
    ]


def test_loss_that_is_no_number_is_refused(tmp_path):
    rows = [{"step": 1, "loss_nats": 1.0}, {"step": 2, "loss_nats": "nan"}]
    with pytest.raises(UserError, match=r"metrics\.parquet: cannot be written"):
        write_losses(tmp_path / "metrics.parquet", rows)
