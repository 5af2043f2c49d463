"""Kills runs with SIGKILL at awkward moments: python tests/training/kill_points.py FOLDER.

Each run is a fork of this process, which has torch imported but not used. Prints, for each moment,
how the run died, and then continues it to its end. See test_kill.py.
"""

import json
import os
import shutil
import signal
import sys
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
    sys.stdout.flush()
    os._exit(0)


def main(inputs: Path) -> None:
    datasets.config.HF_DATASETS_CACHE = inputs / "cache"
    assert os.WEXITSTATUS(forked(inputs, inputs / "never killed")) == 0
    for moment, spoil in MOMENTS.items():
        died = forked(inputs, inputs / moment, spoil)
        ended = forked(inputs, inputs / moment)
        print(f"RESULT {moment}: signal {os.WTERMSIG(died)}, then {ended}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
