"""What goes to SLURM's commands; tests/cluster tries the same on a real one."""

import pytest

from denselora.errors import UserError
from hydra_plugins.denselora.slurm import SlurmLauncher


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Puts squeue and sbatch, which notes its arguments, on the path; gives the note."""
    note = tmp_path / "submitted"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(queue: str):
        for name, body in {
            # a queue that is empty when it is looked at again
            "squeue": f"[ -f {tmp_path}/seen ] || echo '{queue}'; touch {tmp_path}/seen",
            "sbatch": f'echo "$@" >> {note}',
        }.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        return note

    return make


def test_a_job_gets_the_options_that_are_set_and_its_runs_name(commands, tmp_path):
    note = commands("")
    launcher = SlurmLauncher(partition="long", gpus_per_node=None, cpus_per_task=2)
    launcher.start({tmp_path / "a-run.log": ["python", "x.py"]})
    (submitted,) = note.read_text().splitlines()
    assert "--partition=long --cpus-per-task=2 " in submitted and "gpus" not in submitted
    assert "--job-name=a-run " in submitted and f"--output={tmp_path / 'a-run.log'} " in submitted
    assert submitted.endswith("scripts/slurm_job.sh python x.py")


def test_a_run_whose_job_is_in_the_queue_is_not_submitted_again(commands, tmp_path):
    note = commands(f"{tmp_path / 'queued.log'}   ")
    SlurmLauncher().start({tmp_path / "queued.log": ["a"], tmp_path / "new.log": ["b"]})
    (submitted,) = note.read_text().splitlines()
    assert submitted.endswith(" b")


def test_without_slurm_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no squeue here"):
        SlurmLauncher().start({tmp_path / "log": ["a"]})


def test_what_slurm_refuses_is_said(commands, tmp_path):
    commands("")
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2; exit 1\n")
    with pytest.raises(UserError, match="sbatch: invalid partition"):
        SlurmLauncher().start({tmp_path / "log": ["a"]})
