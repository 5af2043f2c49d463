"""Figures are drawn from records alone; each one that can't be drawn says what it lacks."""

import json
from pathlib import Path

import numpy as np
import pytest

from denselora.errors import UserError
from denselora.results.change import read_change, write_change
from denselora.results.figures import write_figures
from denselora.results.published import read_published
from denselora.results.record import read_records
from denselora.results.training_curves import read_losses
from tests.results.records import make_record, save

PUBLISHED = Path(__file__).parents[2] / "results" / "published.yaml"


def drawn(folder, *records) -> tuple[set[str], list[str]]:
    save(folder, *records, predictions=False)
    files, left_out = write_figures(
        read_records(folder), read_published(PUBLISHED), folder / "figures"
    )
    assert all(file.stat().st_size > 1000 for file in files)
    return {file.name.split("-")[0] for file in files}, left_out


def test_two_methods_give_accuracy_against_parameters(tmp_path):
    kinds, left_out = drawn(tmp_path, make_record("lora"), make_record("denselora"))
    assert kinds == {"parameters"}
    assert any("needs one setting with two ranks" in line for line in left_out)


def test_two_ranks_give_a_rank_curve(tmp_path):
    kinds, _ = drawn(tmp_path, make_record("denselora", 8), make_record("denselora", 16))
    assert "rank" in kinds


def test_the_base_alone_gives_no_figure(tmp_path):
    kinds, left_out = drawn(tmp_path, make_record("none"))
    assert not kinds and any("no trained method" in line for line in left_out)


def test_losses_are_read_with_their_steps(tmp_path):
    file = tmp_path / "metrics.jsonl"
    rows = [{"step": 1, "loss_nats": 2.0}, {"step": 2, "loss_nats": 1.0, "validation_loss_nats": 3}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    losses = read_losses(file)
    assert losses["loss_nats"].tolist() == [[1, 2], [2, 1]]
    assert losses["validation_loss_nats"].tolist() == [[2], [3]]


def test_a_broken_metrics_line_is_named(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss_nats": 2.0}\n{"step"')
    with pytest.raises(UserError, match="line 2"):
        read_losses(file)


def test_change_is_the_mean_over_stretches_of_a_large_matrix(tmp_path):
    end = {"A.0.q_proj": np.arange(4 * 128, dtype=np.float32).reshape(4, 128)}
    start = {"A.0.q_proj": np.zeros((4, 128), dtype=np.float32)}
    write_change(tmp_path / "change.npz", start, end)
    change = read_change(tmp_path / "change.npz")["A.0.q_proj"]
    assert change.shape == (4, 64)
    assert np.allclose(change, end["A.0.q_proj"].reshape(4, 64, 2).mean(axis=2))


def test_a_file_that_is_no_summary_of_change_is_named(tmp_path):
    (tmp_path / "change.npz").write_text("nothing")
    with pytest.raises(UserError, match=r"change\.npz"):
        read_change(tmp_path / "change.npz")
