"""One writer to a folder."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from denselora.errors import UserError
from denselora.lock import LOCK, is_empty, is_locked, locked
from tests import ROOT

HOLD = """
import sys, time
from pathlib import Path
from denselora.lock import locked
with locked(Path(sys.argv[1]), "output_dir"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(folder, *within):
    """Another process that holds the folder's lock. within: a command that starts it."""
    process = subprocess.Popen(
        [*within, sys.executable, "-c", HOLD, folder],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_refused_with_the_first_one_s_number(tmp_path):
    with holder(tmp_path / "run") as process:
        with (
            pytest.raises(
                UserError,
                match=rf"output_dir=.*run: process {process.pid} on .* since .*UTC writes",
            ),
            locked(tmp_path / "run", "output_dir"),
        ):
            pass
        assert (tmp_path / "run" / LOCK).is_file()


def test_a_lock_is_seen_while_it_is_held(tmp_path):
    assert not is_locked(tmp_path)
    with locked(tmp_path, "output_dir"):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_killed_process_leaves_no_lock_behind(tmp_path):
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert is_empty(tmp_path)
    with locked(tmp_path, "output_dir"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_was_written_is_gone_at_the_end(tmp_path):
    with locked(tmp_path / "run", "output_dir"):
        assert is_empty(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with locked(tmp_path / "run", "output_dir"):
        (tmp_path / "run/config.yaml").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]


def test_what_a_kill_left_of_a_first_file_is_nothing(tmp_path):
    (tmp_path / "config.yaml.0a1b2c3d.partial").touch()
    assert is_empty(tmp_path)
    (tmp_path / "config.yaml").touch()
    assert not is_empty(tmp_path)


def test_a_lock_file_that_its_holder_removed_is_not_taken_for_the_lock(tmp_path, monkeypatch):
    """The holder ends between the opening of the file and its locking."""
    real, calls = os.fstat, []

    def fstat(number):
        if not calls:
            (tmp_path / LOCK).unlink()
        calls.append(number)
        return real(number)

    monkeypatch.setattr("denselora.lock.os.fstat", fstat)
    with locked(tmp_path, "output_dir"):
        assert len(calls) == 2 and (tmp_path / LOCK).is_file()


@pytest.mark.parametrize("namespaces", ["--mount", "--pid", "--mount --pid --uts --ipc"])
def test_processes_in_other_namespaces_keep_each_other_out(tmp_path, namespaces):
    """As containers, or machines with one file system, are to each other."""
    apart = ["unshare", "--map-root-user", *namespaces.split(), "--fork", "--kill-child"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip(f"unshare {namespaces} isn't permitted here")
    with holder(tmp_path / "run", *apart) as process:
        with (
            pytest.raises(UserError, match=r"output_dir=.*run: process \d+ on .* writes to it"),
            locked(tmp_path / "run", "output_dir"),
        ):
            pass
        process.kill()
        process.wait()
        assert is_empty(tmp_path / "run")
        for _ in range(100):  # the kernel ends what was in the namespace after it
            try:
                with locked(tmp_path / "run", "output_dir"):
                    return
            except UserError:
                time.sleep(0.05)
    pytest.fail("the lock outlived its holder")
