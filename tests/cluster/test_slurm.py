"""Sweeps and single runs as jobs of a real SLURM, whose one node is this machine."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from denselora.results.record import read_records
from tests import ROOT
from tests.cluster.sweep import (
    ENVIRONMENT,
    LONGER,
    SMALL,
    Sweep,
    adapter,
    trained_steps,
    undisturbed,
    wait_until,
)

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]
JOBS = (
    "hydra/launcher=slurm_gpus", "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=1", "hydra.launcher.time=10",
)  # fmt: skip


def called(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.fixture(scope="module")
def slurm():
    """Gives what stops and starts its parts: slurm("kill-node")."""
    if os.getuid() or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        pytest.skip("needs root and Debian's slurm-wlm and munge")
    folder = tempfile.mkdtemp(prefix="slurm-")

    def control(action: str) -> None:
        subprocess.run([ROOT / "tests/cluster/slurm.sh", action, folder], check=True, timeout=120)

    control("start")
    before = dict(os.environ)
    os.environ |= {"SLURM_CONF": f"{folder}/slurm.conf"} | ENVIRONMENT
    try:
        yield control
    finally:
        control("stop")
        os.environ.clear()
        os.environ |= before
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def four(slurm, tmp_path_factory):
    """A sweep of four runs, one of which can't work: the folder, the jobs and states to be seen
    meanwhile, the exit code and the output."""
    folder = tmp_path_factory.mktemp("four")
    sweep = Sweep(folder, *JOBS, "adapter.r=2,4,8,16", "trainer.max_steps=3")
    wait_until(lambda: len(sweep.states) == 4)
    (sweep.folder(16) / "checkpoints").mkdir(parents=True)
    (sweep.folder(16) / "config.yaml").write_text("seed: 1\n")
    wait_until(lambda: "running" in sweep.states.values())
    jobs = called("squeue", "--me", "--noheader", "--format=%j %T").splitlines()
    states = sweep.states
    return folder, jobs, states, *sweep.end()


def test_jobs_are_in_the_queue_under_the_names_of_their_runs(four):
    _, jobs, states, *_ = four
    named = dict(job.split() for job in jobs)
    assert len(named) == 4 and all(name.startswith("mini-denselora-r") for name in named)
    assert set(named.values()) == {"RUNNING", "PENDING"}
    assert list(states.values()).count("running") in (1, 2)


def test_one_run_that_fails_keeps_no_other_from_ending(four):
    folder, _, _, code, output = four
    assert code == 2
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "-r16-" in error and "failed" in error and ".log" in error
    assert len(read_records(folder / "results")) == 3
    assert "Traceback" not in output


def test_the_same_command_again_runs_only_what_is_left(four):
    folder, *_ = four
    (broken,) = (folder / "runs").glob("*-r16-*/")
    shutil.rmtree(broken)
    sweep = Sweep(folder, *JOBS, "adapter.r=2,4,8,16", "trainer.max_steps=3")
    code, output = sweep.end()
    assert code == 0, output
    assert "4 runs: 3 done, 1 failed" in output and "1 jobs are in the queue" in output
    assert set(sweep.states.values()) == {"done"}


def job_of(run: Path) -> str:
    return called("squeue", "--me", "--noheader", f"--name={run.name}", "--format=%A").strip()


def test_a_run_that_reaches_its_time_limit_goes_on_as_if_it_had_not(slurm, tmp_path):
    sweep = Sweep(tmp_path, *JOBS, "adapter.r=4", *LONGER)
    sweep.wait_for_steps(4, 10)
    run = sweep.folder(4)
    # SLURM sends SIGUSR1 when five minutes are left
    called("scontrol", "update", f"JobId={job_of(run)}", "TimeLimit=5")
    wait_until(lambda: sweep.states["r4"] == "stopped")
    saved = trained_steps(run)
    assert 10 <= saved < 120
    called("scontrol", "update", f"JobId={job_of(run)}", "TimeLimit=20")
    code, output = sweep.end()
    assert code == 0, output
    log = run.with_name(f"{run.name}.log").read_text()
    assert f"stopped after step {saved} and saved" in log
    assert adapter(run) == undisturbed(tmp_path / "undisturbed", 4)


def test_a_job_that_is_cancelled_saves_its_run_and_ends_the_sweep(slurm, tmp_path):
    sweep = Sweep(tmp_path, *JOBS, "adapter.r=2", *LONGER)
    sweep.wait_for_steps(2, 5)
    called("scancel", job_of(sweep.folder(2)))
    code, output = sweep.end()
    assert code == 2 and "stopped" in output.splitlines()[-1], output
    assert sweep.state(2) == "stopped" and list(sweep.folder(2).glob("checkpoints/step-*"))


def test_a_run_whose_node_is_lost_is_queued_again_and_goes_on(slurm, tmp_path):
    # the run goes on without slurmd, and must not end before the node is found to be down
    sweep = Sweep(tmp_path, *JOBS, "adapter.r=8", *LONGER, "trainer.max_steps=600")
    sweep.wait_for_steps(8, 25)
    slurm("kill-node")
    try:
        wait_until(lambda: "PENDING" in called("squeue", "--me", "--noheader", "--format=%T"))
    finally:
        slurm("start-node")
    code, output = sweep.end()
    assert code == 0, output
    assert sweep.state(8) == "done"


def test_the_command_of_the_docs_runs_a_job_to_its_end(slurm, tmp_path):
    page = (ROOT / "docs/training.md").read_text()
    (command,) = re.findall(r"^    (sbatch [^\\\n]*(?:\\\n[^\\\n]*)*)", page, flags=re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    with_gpu = [word for word in words if word.startswith("--gpus")]
    assert len(with_gpu) == 1 and "scripts/slurm_job.sh" in words
    words.remove(with_gpu[0])
    run = tmp_path / "run"
    own = {"model=llama3_8b": "model=mini", "output_dir=runs/first": f"output_dir={run}"}
    small = [each for each in SMALL if not each.startswith("evaluation.")]
    given = [own.get(word, word) for word in words]
    log = f"--output={tmp_path / 'log'}"
    submitted = called("sbatch", log, *given[1:], *small[1:], "trainer.max_steps=2")
    (job,) = re.findall(r"\d+", submitted)
    wait_until(lambda: not called("squeue", "--noheader", f"--job={job}").strip())
    assert "JobState=COMPLETED" in called("scontrol", "show", "job", job)
    assert adapter(run)


def test_a_signal_that_comes_before_python_is_ready_queues_the_job_again(slurm, tmp_path):
    job = [ROOT / "scripts/slurm_job.sh", "python3", "-c", "import time; time.sleep(60)"]
    submitted = called("sbatch", f"--output={tmp_path / 'log'}", *map(str, job))
    (number,) = re.findall(r"\d+", submitted)
    wait_until(
        lambda: "RUNNING" in called("squeue", "--noheader", f"--job={number}", "--format=%T")
    )
    wait_until(lambda: (tmp_path / "log").exists())
    called("scancel", "--batch", f"--signal={signal.SIGUSR1.name}", number)
    wait_until(lambda: "Restarts=1" in called("scontrol", "show", "job", number))
    called("scancel", number)
