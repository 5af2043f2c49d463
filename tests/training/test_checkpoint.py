"""Checkpoints appear whole or not at all."""

import pytest
import torch

from denselora.errors import UserError
from denselora.training.checkpoint import STATE, Checkpoints, copy_weights, read_state


def write(folder, content=b"weights"):
    (folder / "weights").write_bytes(content)


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    kept = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (9, 10):
        kept.save(step, write, {"step": step})
    return kept


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.path.iterdir())


def test_newest_ones_and_the_named_one_stay(checkpoints):
    checkpoints.save(11, write, {}, keep_too=9)
    assert names(checkpoints) == ["step-000009", "step-000010", "step-000011"]
    checkpoints.save(12, write, {})
    assert names(checkpoints) == ["step-000011", "step-000012"]
    assert checkpoints.latest() == checkpoints.at(12)


def test_one_not_known_to_be_good_takes_no_good_one_s_place(checkpoints):
    checkpoints.save(11, write, {}, good_up_to=10)
    assert names(checkpoints) == ["step-000009", "step-000010", "step-000011"]
    assert checkpoints.latest() == checkpoints.at(11)
    assert checkpoints.latest(up_to=10) == checkpoints.at(10)
    checkpoints.save(12, write, {}, good_up_to=11)
    assert names(checkpoints) == ["step-000010", "step-000011", "step-000012"]


def test_a_full_disk_leaves_the_last_good_one(checkpoints, full_disk):
    with full_disk(100_000):
        with pytest.raises(UserError, match=r"step-000011.*last good\s+one is .*step-000010"):
            checkpoints.save(11, write, {"big": torch.zeros(1_000_000)})
        with pytest.raises(UserError, match="last good"):
            checkpoints.save(11, lambda folder: write(folder, b"0" * 1_000_000), {})
    assert names(checkpoints) == ["step-000009", "step-000010"]
    assert read_state(checkpoints.latest()) == {"step": 10}


def test_an_incomplete_folder_is_no_checkpoint(checkpoints):
    (checkpoints.path / "step-000011.partial").mkdir()
    (checkpoints.path / "step-000011.partial" / STATE).touch()
    assert checkpoints.latest() == checkpoints.at(10)


def test_a_folder_without_its_state_is_set_aside(checkpoints):
    for step in (11, 12):
        checkpoints.at(step).mkdir()
        write(checkpoints.at(step))
    assert checkpoints.latest() == checkpoints.at(10)
    checkpoints.save(11, write, {"step": 11})
    assert read_state(checkpoints.latest()) == {"step": 11}
    assert {"step-000011", "step-000011.damaged"} < set(names(checkpoints))
    checkpoints.set_aside_after(checkpoints.at(11))
    assert "step-000012.damaged" in names(checkpoints) and "step-000012" not in names(checkpoints)


def test_weights_are_copied_without_the_state(checkpoints, tmp_path):
    copy_weights(checkpoints.at(10), tmp_path / "adapter")
    assert [path.name for path in (tmp_path / "adapter").iterdir()] == ["weights"]
