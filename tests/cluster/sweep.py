"""Sweeps of the small model, as a user starts them, and what is to be seen of them meanwhile."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from denselora.reproduce.states import all_states, state_of
from tests import ROOT

SMALL = (
    "model=mini", "data=mini", "protocol=clean", "protocol.decoding.max_new_tokens=2",
    "trainer.validation_rows=4", "evaluation.limit=1",
)  # fmt: skip
# seconds of training, checkpoints on the way: time to be taken away in
LONGER = ("trainer.max_steps=120", "trainer.save_steps=20")
ENVIRONMENT = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}


class Sweep:
    """A call of reproduce.py; folder: gets runs/ and results/."""

    def __init__(self, folder: Path, *options: str):
        self.runs, self.results = folder / "runs", folder / "results"
        self.output = folder / f"output-{time.monotonic_ns()}"
        where = [f"runs_dir={self.runs}", f"results_dir={self.results}"]
        self.process = subprocess.Popen(
            [sys.executable, "scripts/reproduce.py", *SMALL, *options, *where],
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=self.output.open("w"),
            stderr=subprocess.STDOUT,
        )

    def end(self) -> tuple[int, str]:
        """Its exit code and what it printed."""
        code = self.process.wait(timeout=900)
        return code, self.output.read_text()

    @property
    def states(self) -> dict[str, str]:
        """Of each run, by its rank, as `make status` has them."""
        found = all_states(self.runs) if self.runs.is_dir() else []
        return {rank(each.run): each.state for each in found}

    def folder(self, r: int) -> Path:
        (found,) = [note.with_suffix("") for note in self.runs.glob(f"*-r{r}-*.json")]
        return found

    def wait_for_steps(self, r: int, steps: int) -> None:
        """Until the run has trained so many."""
        wait_until(lambda: trained_steps(self.folder(r)) >= steps if self.states else False)

    def state(self, r: int) -> str:
        return state_of(self.folder(r)).state


def rank(run: str) -> str:
    return next(part for part in run.split("-") if part[0] == "r" and part[1:].isdigit())


def trained_steps(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.is_file() else 0


def adapter(run: Path) -> bytes:
    return (run / "adapter/adapter_model.safetensors").read_bytes()


def undisturbed(folder: Path, r: int) -> bytes:
    """The adapter of a run of LONGER that nobody has stopped."""
    options = [each for each in SMALL if not each.startswith("evaluation.")]
    subprocess.run(
        [sys.executable, "scripts/train.py", *options, *LONGER, f"adapter.r={r}",
         f"output_dir={folder}"],
        cwd=ROOT, env=os.environ | ENVIRONMENT, check=True, capture_output=True,
    )  # fmt: skip
    return adapter(folder)


def wait_until(happened: Callable[[], bool], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.5)
