"""One of the scripts in a process of its own: whatever happens to it, the other runs go on."""

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from denselora.command_line.entry_point import INTERRUPTED
from denselora.errors import UserError
from denselora.reproduce.child import end_with_parent
from denselora.training.signals import STOPPED

SCRIPTS = Path(__file__).parents[3] / "scripts"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def run_script(name: str, *options: str, environment: dict[str, str] | None = None) -> None:
    """Run a script to its end, passing on a signal to stop.

    Raises UserError if it fails; exits with code 75 when it was stopped.
    """
    command = [str(SCRIPTS / name), *options]
    variables = os.environ | (environment or {})
    # a process that forks after CUDA was looked at can't use it; one that starts processes of its
    # own puts them away at the end of its interpreter, which a forked one doesn't have
    start = _new if torch.cuda.is_available() or name == "reproduce.py" else _forked
    pid, wait = start(command, variables)

    def pass_on(number: int, _frame) -> None:
        # a terminal has sent its Ctrl-C to the script, too, and a second would end it unsaved
        if number == signal.SIGINT:
            number = signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (*SIGNALS, signal.SIGINT):
            before[number] = signal.signal(number, pass_on)
    try:
        code = wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code in (STOPPED, INTERRUPTED, *(-number for number in (*SIGNALS, signal.SIGINT))):
        print("stopped; the same command goes on from here", flush=True)
        raise SystemExit(STOPPED)
    if code:
        raise UserError(
            f"scripts/{name} ended with exit code {code}, see above; fix it and run the same "
            "command again to go on from there"
        )


def _new(command: list[str], variables: dict[str, str]) -> tuple[int, Callable[[], int]]:
    """Start a fresh interpreter; returns its id and how to wait for its exit code."""
    # -P: what lies in the current folder isn't to be imported
    own = [sys.executable, "-P", "-m", "denselora.reproduce.child"]
    child = subprocess.Popen([*own, *command], env=variables)
    return child.pid, child.wait


def _forked(command: list[str], variables: dict[str, str]) -> tuple[int, Callable[[], int]]:
    """The same, from a server process that has imported what is slow to import, once for all."""
    # the child takes over the default, and couldn't take over that of joblib's workers
    multiprocessing.set_start_method("forkserver", force=True)
    multiprocessing.set_forkserver_preload(["denselora.reproduce.server"])
    child = multiprocessing.Process(target=_run, args=(command, variables))
    child.start()

    def wait() -> int:
        child.join()
        return child.exitcode

    return child.pid, wait


def _run(command: list[str], variables: dict[str, str]) -> None:
    # the server ignores signals and has the variables of its start; neither is for the script
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(variables)
    end_with_parent()
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name="__main__")
    except KeyboardInterrupt:  # before the script had got as far as to answer it
        sys.exit(INTERRUPTED)
