"""Sweeps on a Ray cluster: a head and two workers that are processes of this machine."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests import ROOT
from tests.cluster.sweep import ENVIRONMENT, LONGER, Sweep, adapter, undisturbed, wait_until

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(1500)]


@contextmanager
def node(*options: str):
    """A node of a Ray cluster, as a process group."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("ray"), "start", "--block", "--disable-usage-stats",
         "--object-store-memory=100000000", *options],
        cwd=ROOT, env=os.environ | ENVIRONMENT, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        psutil.wait_procs(below, timeout=20)
        for each in below:
            if each.is_running():
                each.kill()
        process.wait(timeout=20)


@pytest.fixture
def cluster(tmp_path_factory):
    """Gives the address and the processes of the two workers, with a core each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    head = (f"--port={port}", "--head", "--num-cpus=0", "--include-dashboard=false")
    worker = (f"--address={address}", "--num-cpus=1")
    with node(*head):
        wait_until(lambda: reached(port), 60)
        with node(*worker) as first, node(*worker) as second:
            yield address, (first, second)


def reached(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def on(address: str) -> tuple[str, ...]:
    return (
        "hydra/launcher=ray_gpus", f"hydra.launcher.address={address}",
        "hydra.launcher.num_gpus=0", "hydra.launcher.num_cpus=1",
    )  # fmt: skip


def test_two_sweeps_at_once_share_the_workers_and_both_end(cluster, tmp_path):
    address, _ = cluster
    few = "trainer.max_steps=3"
    first = Sweep(tmp_path, *on(address), few, "adapter.r=2,4")
    second = Sweep(tmp_path, *on(address), few, "adapter.r=8,16")
    wait_until(lambda: list(first.states.values()).count("running") == 2)
    for sweep in (first, second):
        code, output = sweep.end()
        assert code == 0 and "Traceback" not in output, output
    assert first.states == dict.fromkeys(("r2", "r4", "r8", "r16"), "done")
    again = Sweep(tmp_path, *on(address), few, "adapter.r=2,4,8,16")
    code, output = again.end()
    assert code == 0 and "4 runs: 4 done" in output and "What each run prints" not in output


@pytest.mark.parametrize("lost", ["worker process", "node"])
def test_a_run_whose_machine_is_lost_starts_again_elsewhere_and_goes_on(cluster, tmp_path, lost):
    address, nodes = cluster
    sweep = Sweep(tmp_path, *on(address), "adapter.r=4", *LONGER)
    sweep.wait_for_steps(4, 25)
    where, process = next(
        (each, below)
        for each in nodes
        for below in psutil.Process(each.pid).children(recursive=True)
        if below.name().startswith("ray::_run")
    )
    if lost == "node":
        (process,) = [
            each for each in psutil.Process(where.pid).children() if each.name() == "raylet"
        ]
    process.kill()
    code, output = sweep.end()
    assert code == 0, output
    run = sweep.folder(4)
    log = run.with_name(f"{run.name}.log").read_text()
    assert log.count("\n== ") == 2  # it began twice
    assert adapter(run) == undisturbed(tmp_path / "undisturbed", 4)
