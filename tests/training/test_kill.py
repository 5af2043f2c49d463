"""SIGKILL at any moment, then resume: as if nothing had happened, to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests import ROOT
from tests.training.kill_points import MOMENTS


def lines(run: Path) -> list[dict]:
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read]


def test_killed_and_resumed_equals_never_killed(inputs):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.training.kill_points", str(inputs)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    results = [line for line in ended.stdout.splitlines() if line.startswith("RESULT")]
    assert results == [f"RESULT {moment}: signal 9, then 0" for moment in MOMENTS]
    whole = inputs / "never killed"
    same = ("adapter/adapter_model.safetensors", "adapter/README.md")
    for moment in MOMENTS:
        run = inputs / moment
        for file in same:
            assert (run / file).read_bytes() == (whole / file).read_bytes(), moment
        assert lines(run) == lines(whole), moment
        assert not list(run.glob("*.partial")), moment
