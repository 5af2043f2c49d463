"""A tracker that fails, at its start, in the middle or at its end."""

import pytest
from accelerate import Accelerator

from denselora.errors import UserError
from denselora.training.run import train
from denselora.training.run_folder import RunFolder
from tests.training.inputs import train_config


class Failing:
    """A tracker that fails at one of its methods."""

    name = "tensorboard"

    def __init__(self, at: str):
        self.at = at

    def __getattr__(self, method: str):
        def act(*_, **__):
            if method == self.at:
                raise RuntimeError(f"no {method}")

        return act


@pytest.fixture
def start(inputs, tmp_path, monkeypatch):
    """Trains with a tracker that fails at a method; returns the run's folder."""
    monkeypatch.setattr("denselora.training.job.TRACKERS", {"tensorboard": lambda: True})
    monkeypatch.setattr("accelerate.accelerator.filter_trackers", lambda *_: [])

    def start(at: str, *options: str) -> RunFolder:
        def init_trackers(self, *_):
            self.trackers = [Failing(at)]
            self.trackers[0].start()

        monkeypatch.setattr(Accelerator, "init_trackers", init_trackers)
        folder = RunFolder(tmp_path / "run")
        options = ("tracker=tensorboard", "trainer.max_steps=2", *options)
        train(train_config(inputs, f"output_dir={folder.path}", *options))
        return folder

    return start


def test_the_first_error_stands_whatever_fails_at_the_end(start, tmp_path):
    with pytest.raises(UserError, match=r"tracker=tensorboard: can't start \(no start\); set"):
        start("start")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_without_a_tracker_that_fails(start, capsys):
    folder = start("log")
    assert folder.finished and len(folder.metrics()) == 2
    assert capsys.readouterr().out.count("tracker=tensorboard failed (no log)") == 1


def test_a_run_is_whole_though_its_tracker_does_not_end(start, capsys):
    assert start("finish").finished
    assert "tracker=tensorboard: didn't end well (no finish)" in capsys.readouterr().out
