"""Calls of scripts/reproduce.py on the tiny model and data."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from denselora.command_line.configs import composed
from denselora.reproduce import announce
from denselora.reproduce import point as point_module
from denselora.reproduce.point import Point
from tests import ROOT


@dataclass
class Folders:
    runs: Path
    results: Path


@pytest.fixture(autouse=True)
def _scripts_find_the_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))


@pytest.fixture
def folders(tmp_path) -> Folders:
    results = tmp_path / "results"
    results.mkdir()
    return Folders(tmp_path / "runs", results)


@pytest.fixture
def options(folders, model_folder, data_folder) -> list[str]:
    return [
        "model=llama3_2_1b", f"model.path={model_folder}", "data=local", f"data.path={data_folder}",
        "trainer.global_batch_size=4", "trainer.micro_batch_size=4", "trainer.max_steps=1",
        "trainer.validation_rows=4", "trainer.warmup_steps=0", "evaluation.limit=1",
        "protocol=clean", "protocol.decoding.max_new_tokens=2",
        f"runs_dir={folders.runs}", f"results_dir={folders.results}",
    ]  # fmt: skip


@pytest.fixture
def call(script, options):
    """Runs reproduce.py with further options."""

    def run(*more: str):
        names = [option.split("=")[0] for option in more]
        given = [option for option in options if option.split("=")[0] not in names]
        return script("reproduce", *given, *more)

    return run


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """Names of the scripts that were started."""
    names = []
    real = point_module.run_script

    def run_script(name, *arguments, **rest):
        names.append(name)
        real(name, *arguments, **rest)

    for module in (point_module, announce):
        monkeypatch.setattr(module, "run_script", run_script)
    return names


@pytest.fixture
def compose(options):
    """A Point as reproduce.py would make it."""

    def point(*more: str) -> Point:
        given = [*options, *more]
        return Point.of(composed("reproduce", given), given)

    return point
