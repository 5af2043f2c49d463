"""Kills runs with SIGKILL at awkward moments, and then continues them to their ends.

Each run is a fork of a process that has torch imported but not used. See test_kill.py.
"""

import json
import os
import shutil
import signal
from pathlib import Path

import datasets
import torch

from denselora.training import checkpoint, outcome, run
from denselora.training.run_folder import RunFolder
from tests.training.inputs import train_config


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(number: int, function, before):
    """The function, with `before` called first at its call of that number."""
    calls = iter(range(1, 1000))

    def wrapped(*args, **kwargs):
        if next(calls) == number:
            before(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapped


def half_a_line(folder: RunFolder, line: dict) -> None:
    with folder.metrics_file.open("a") as file:
        file.write(json.dumps(line)[:20])
    die()


def half_a_state(state, path) -> None:
    Path(path).write_bytes(b"half")
    die()


def half_removed(path, **_) -> None:
    next(iter(Path(path).glob("*.safetensors"))).unlink()
    die()


def when_pruning(number: int):
    """At the removal of a checkpoint that was there, not of leftovers that were not."""
    real, seen = shutil.rmtree, iter(range(1, 1000))

    def rmtree(path, **kwargs):
        if str(path).endswith(".removed") and next(seen) == number:
            half_removed(path)
        return real(path, **kwargs)

    return rmtree


MOMENTS = {
    "in a metrics line": lambda: setattr(RunFolder, "log", on_call(4, RunFolder.log, half_a_line)),
    "writing the weights": lambda: setattr(run, "save_weights", on_call(2, run.save_weights, die)),
    "writing the state": lambda: setattr(torch, "save", on_call(2, torch.save, half_a_state)),
    "before the rename": lambda: setattr(checkpoint, "flush", on_call(3, checkpoint.flush, die)),
    "pruning": lambda: setattr(checkpoint.shutil, "rmtree", when_pruning(1)),
    "before the adapter": lambda: setattr(outcome.Outcome, "finished", die),
    "writing the adapter": lambda: setattr(run, "copy_weights", die),
}


def forked(inputs: Path, output: Path, spoil=None) -> int:
    """Train in a fork; returns its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    if spoil:
        spoil()
    config = train_config(inputs, f"output_dir={output}", "resume=true")
    run.train(config)
    os._exit(0)


def main(rank: int, inputs: Path) -> None:
    """results.json: for each moment, the signal that the run died of and how it ended later."""
    datasets.config.HF_DATASETS_CACHE = inputs / "cache"
    assert os.WEXITSTATUS(forked(inputs, inputs / "never killed")) == 0
    results = {}
    for moment, spoil in MOMENTS.items():
        died = forked(inputs, inputs / moment, spoil)
        ended = forked(inputs, inputs / moment)
        results[moment] = [os.WTERMSIG(died), ended]
    (inputs / "results.json").write_text(json.dumps(results))
