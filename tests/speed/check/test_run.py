"""How checks are run: each alone in its process, whatever happens to it."""

import json
import time

import pytest
import torch
from omegaconf import OmegaConf

from denselora.errors import UserError
from denselora.speed.check import processes, run
from denselora.speed.check.processes import Check, Outcome
from tests.speed.check.made_up import crashes, hangs, raises, right, wrong


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Runs functions as the checks of a part; gives whether all passed, and what was written."""
    monkeypatch.setattr(processes, "REHEARSAL", 1)

    def call(*functions, seconds=60, alone=False):
        checks = tuple(Check(function, seconds, alone) for function in functions)
        monkeypatch.setattr(run, "PARTS", {"some": checks})
        cfg = {"parts": ["some"], "output": str(tmp_path / "out"), "rehearse": True}
        passed = run.run(OmegaConf.create(cfg | {"sizes": {"cpu": {}}}))
        return passed, json.loads((tmp_path / "out" / "check_gpu.json").read_text())

    return call


def rows(content):
    return {
        each["name"].rpartition(": ")[2]: [(f["what"], f["passed"]) for f in each["findings"]]
        for each in content["checks"]
    }


def test_findings_are_written_with_what_they_must_be(check, tmp_path, capsys):
    passed, content = check(right)
    assert passed and content["not_run"] == []
    assert rows(content) == {"right": [("one", True), ("a rate", None)]}
    table = (tmp_path / "out" / "check_gpu.md").read_text()
    assert "| made_up: right | one | 1 | at most 2 | ok |" in table
    assert "| made_up: right | a rate | 17 \\| 4 |  | - |" in table
    assert "a remark" in (tmp_path / "out" / "made_up-right.log").read_text()
    assert "1 checks, 0 failures" in capsys.readouterr().out


def test_a_check_that_fails_breaks_or_crashes_costs_only_itself(check, capsys):
    passed, content = check(wrong, raises, crashes, right)
    assert not passed
    assert rows(content) == {
        "wrong": [("one", False)],
        "raises": [("before", None), ("the check itself", False)],
        "crashes": [("before", None), ("the check itself", False)],
        "right": [("one", True), ("a rate", None)],
    }
    said = [f["value"] for each in content["checks"] for f in each["findings"]]
    assert "ValueError: no such kernel" in said and "killed by SIGSEGV" in said
    assert "FAILED made_up: raises: the check itself" in capsys.readouterr().err


def test_a_check_that_hangs_is_stopped_with_what_it_started(check):
    began = time.monotonic()
    passed, content = check(hangs, right, seconds=5)
    assert not passed and time.monotonic() - began < 50
    assert rows(content)["hangs"] == [("before", None), ("the check itself", False)]
    assert content["checks"][0]["findings"][1]["value"] == "stopped: no end within 5 s"


def test_what_measures_time_runs_alone():
    def running(*alone):
        return [processes._Process(Outcome(Check(right, 1, each)), None, None, 1) for each in alone]

    (waits,) = running(True)
    (goes,) = running(False)
    assert processes._may_begin(waits, [], 4)
    assert not processes._may_begin(waits, running(False), 4)
    assert not processes._may_begin(goes, running(True), 4)
    assert processes._may_begin(goes, running(False, False), 4)
    assert not processes._may_begin(goes, running(False, False), 2)


def test_every_part_names_each_check_once():
    names = [check.name for checks in run.PARTS.values() for check in checks]
    assert len(set(names)) == len(names)
    assert all(check.about.endswith(".") for checks in run.PARTS.values() for check in checks)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("parts=card", "parts=card: give a list of card, operator"),
        ("parts=[]", "parts=[]: give a list of card, operator"),
        ("rehearse=maybe", "rehearse=maybe: give true or false"),
        ("output=", "output=: is empty, as an unset shell variable leaves it; give a path"),
    ],
)
def test_a_mistake_is_one_line(script, override, message):
    code, _, err = script("check_gpu", override)
    assert code == 2 and err.strip().startswith(f"error: {message}")


def test_an_unknown_part_is_one_line(script):
    code, _, err = script("check_gpu", "parts=[card,speeds]")
    assert code == 2
    assert err.strip().startswith("error: parts: speeds is none of card, operator, passes, mini")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_without_a_gpu_it_is_one_line(script, tmp_path):
    code, _, err = script("check_gpu", f"output={tmp_path}/out")
    assert code == 2 and err.strip().startswith("error: no GPU here")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_reported_first(script, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = script("check_gpu", "rehearse=true", f"output={tmp_path}/file/out")
    assert code == 2 and "output" in err


def test_parts_of_no_known_name_are_refused_in_python():
    with pytest.raises(UserError, match="parts: x is none of"):
        run.run(OmegaConf.create({"parts": ["x"]}))
