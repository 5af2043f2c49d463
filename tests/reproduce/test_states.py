import fcntl
import json
import threading

import pytest

from denselora.errors import UserError
from denselora.lock import locked
from denselora.reproduce.states import all_states, claimed, note_plan, state_of
from denselora.training.run_folder import write_trained
from tests.training.trained import make_trained


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "tiny-lora-r4-s1-0123abcd"


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def test_a_planned_run_is_missing_until_someone_runs_it(run):
    note_plan(run, ["adapter=lora"])
    assert (state_of(run).state, state_of(run).options) == ("missing", ["adapter=lora"])
    with claimed(run, ["adapter=lora"]) as note:
        assert state_of(run).state == "running"
        note("failed", "no memory")
    assert (state_of(run).state, state_of(run).reason) == ("failed", "no memory")


def test_a_run_is_run_by_one_process_only(run):
    with (
        claimed(run, []),
        pytest.raises(UserError, match="another process"),
        claimed(run, []),
    ):
        pass


def test_a_training_that_is_no_sweeps_is_seen_running(run):
    with locked(run, "output_dir"):
        (run / "config.yaml").touch()
        assert state_of(run).state == "running"
    assert state_of(run).state == "stopped"


def test_a_plan_leaves_the_lock_that_another_sweep_holds(run):
    with claimed(run, ["adapter=lora"]):
        held = run.with_name(f"{run.name}.json").stat().st_ino
        note_plan(run, ["adapter=lora"])
        assert run.with_name(f"{run.name}.json").stat().st_ino == held
        assert state_of(run).state == "running"


def test_a_note_that_was_only_begun_is_of_a_missing_run(run):
    run.parent.mkdir()
    run.with_name(f"{run.name}.json").touch()
    assert state_of(run).state == "missing"
    note_plan(run, ["adapter=lora"])
    assert state_of(run).options == ["adapter=lora"]


def test_a_glance_at_a_run_keeps_nobody_from_running_it(run):
    note_plan(run, [])
    glance = run.with_name(f"{run.name}.json").open()
    fcntl.flock(glance, fcntl.LOCK_SH)
    threading.Timer(0.1, glance.close).start()
    with claimed(run, []):
        pass


def test_a_run_that_was_killed_counts_as_failed(run):
    with claimed(run, []):
        pass  # left without a word
    assert (state_of(run).state, state_of(run).reason) == ("failed", "killed")


def test_a_run_that_saved_itself_is_to_be_continued(run):
    with claimed(run, []) as note:
        write(run / "config.yaml", {})
        note("stopped")
    assert state_of(run).state == "stopped"


def test_files_count_before_the_note(run):
    write(run / "config.yaml", {})
    assert state_of(run).state == "stopped"  # by train.py, without a note
    write_trained(run, make_trained(collapsed="loss is nan"))
    assert (state_of(run).state, state_of(run).reason) == ("diverged", "loss is nan")
    (run / "training.json").unlink()
    write_trained(run / "adapter", make_trained())
    assert state_of(run).state == "trained"
    write(run / "evaluation-limit2/record.json", {})
    assert state_of(run).state == "done"


def test_a_failure_after_a_finished_evaluation_is_not_hidden(run):
    write(run / "evaluation/record.json", {})
    with claimed(run, []) as note:
        note("failed", "no memory")
    assert state_of(run).state == "done"
    assert state_of(run).reason == "the last attempt failed: no memory"


def test_every_run_that_a_folder_holds_or_is_to_hold_is_listed(run, script):
    write(run / "config.yaml", {})
    note_plan(run.with_name("another"), [])
    assert [(each.run, each.state) for each in all_states(run.parent)] == [
        ("another", "missing"),
        (run.name, "stopped"),
    ]
    code, out, _ = script("status", str(run.parent))
    assert code == 0
    assert "2 runs" in out and "1 stopped" in out and "1 missing" in out and "0 done" in out


def test_a_broken_note_is_one_line(run, script):
    note_plan(run, [])
    run.with_name(f"{run.name}.json").write_text("{")
    code, _, err = script("status", str(run.parent))
    assert code == 2 and "malformed JSON" in err and len(err.splitlines()) == 1


def test_a_damaged_training_json_is_one_line(run, script):
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    (run / "training.json").write_text("{")
    code, _, err = script("status", str(run.parent))
    assert code == 2 and len(err.splitlines()) == 1
    assert f"{run / 'training.json'}: not as this version writes it" in err


def test_a_note_that_is_still_empty_is_of_a_run_that_has_not_begun(tmp_path):
    (tmp_path / "a.json").touch()
    assert [(run.run, run.state) for run in all_states(tmp_path)] == [("a", "missing")]
