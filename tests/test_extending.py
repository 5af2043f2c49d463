"""docs/extending.md, followed from top to bottom in a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in PAGE.split("\n## ")[1:])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
# one process for all, which imports torch once
RUN = """
import json, runpy, shlex, sys
for kind, text in json.load(sys.stdin):
    if kind == "python":
        exec(text, {})
    else:
        for command in text.replace("\\\\\\n", "").splitlines():
            _, *sys.argv = shlex.split(command)
            runpy.run_path(sys.argv[0], run_name="__main__")
"""


def blocks(section: str, kind: str) -> list[str]:
    return [text for name, text in BLOCK.findall(section) if name == kind]


def apply(diff: str, folder: Path) -> None:
    """Change a file as a diff says, whose hunks are found by their lines alone."""
    head, *lines = diff.splitlines(keepends=True)
    file = folder / head.split()[1]
    text = file.read_text(encoding="utf-8")
    for hunk in "".join(lines).split("@@\n"):
        before, after = (
            "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in f" {sign}")
            for sign in "-+"
        )
        assert text.count(before) == 1, f"{file}: not once there: {before}"
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> tuple[Path, str]:
    """The copy, with one of the published runs, all files written, all diffs applied and then
    everything run; what it printed."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("src", "configs", "scripts", "data/mini"):
        shutil.copytree(ROOT / folder, copy / folder)
    published = min((ROOT / "results/runs").glob("mini-lora-r32-mini-clean-s42-*"))
    shutil.copytree(published, copy / "results/runs" / published.name)
    shutil.copy(ROOT / "results/published.yaml", copy / "results")
    for text in blocks(PAGE, "yaml"):
        (copy / text.split()[1]).write_text(text)
    for text in blocks(PAGE, "diff"):
        apply(text, copy)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([block for block in BLOCK.findall(PAGE) if block[0] in ("python", "sh")]),
        capture_output=True,
        text=True,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy / "src")},
    )
    assert done.returncode == 0, done.stderr
    return copy, done.stdout


def record(copy: Path, run: str) -> dict:
    """The one that an evaluation left; run: a part of its id."""
    (file,) = (copy / "evaluations").glob(f"*{run}*/record.json")
    return json.loads(file.read_text())


def changed(section: str) -> set[str]:
    """The files that a section's diffs change."""
    return {text.split()[1] for text in blocks(SECTIONS[section], "diff")}


def test_your_own_data(followed):
    found = record(followed[0], "-evens-")
    assert found["benchmarks"]["boolq"]["n"] == 30


def test_another_model(followed):
    found = record(followed[0], "wide-")
    assert found["model"]["label"] == "Wide"
    assert found["config"]["trainer"]["learning_rate"] == 1e-3


def test_another_baseline(followed):
    method = record(followed[0], "-loha-")["method"]
    assert method["label"] == "LoHa" and method["trainable"] > 0


def test_another_loss(followed):
    copy, printed = followed
    assert re.findall(r"([\d.]+) of the loss", printed) == ["0.125", "0.250", "0.625"]
    training = json.loads((copy / "runs/square_root/adapter/training.json").read_text())
    assert training["config"]["protocol"]["loss_reduction"] == "square_root"


def test_a_change_of_the_method_is_one_of_layer_and_config(followed):
    # r · (in + 2 · out) in each pair and r² in each of 6 cores
    shapes = [(192, 192), (192, 64), (192, 64), (192, 512), (512, 192)]
    trainable = sum(16 * (i + 2 * o) + 6 * 16**2 for i, o in shapes)
    assert record(followed[0], "-two_decoders-")["method"]["trainable"] == trainable
    assert changed("A change of the method") == {
        "src/denselora/adapter/config.py",
        "src/denselora/adapter/layer.py",
    }


def test_a_ninth_benchmark_is_one_entry_and_the_records_of_before_stay_whole(followed):
    copy, _ = followed
    assert record(copy, "-base-")["benchmarks"]["commonsense_qa"]["n"] == 2
    tables = (copy / "results/tables/commonsense.md").read_text()
    assert "18 of 1,922 test rows of 9 benchmarks" in tables
    assert "1,920 of 1,920 test rows of 8 benchmarks" in tables
    assert changed("A ninth benchmark") == {"src/denselora/tasks/commonsense.py"}
