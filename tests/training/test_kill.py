"""SIGKILL at any moment, then resume: as if nothing had happened, to the bit."""

import json
import signal
from pathlib import Path

from tests.processes import launch
from tests.training import kill_points
from tests.training.kill_points import MOMENTS


def lines(run: Path) -> list[dict]:
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read]


def test_killed_and_resumed_equals_never_killed(inputs):
    launch(kill_points.main, 1, {}, inputs)
    results = json.loads((inputs / "results.json").read_text())
    assert results == {moment: [signal.SIGKILL, 0] for moment in MOMENTS}
    whole = inputs / "never killed"
    same = ("adapter/adapter_model.safetensors", "adapter/README.md")
    for moment in MOMENTS:
        run = inputs / moment
        for file in same:
            assert (run / file).read_bytes() == (whole / file).read_bytes(), moment
        assert lines(run) == lines(whole), moment
        assert not list(run.glob("*.partial")), moment
