"""Being asked to stop: SIGTERM and SIGUSR1, as SLURM and cloud machines send them."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# EX_TEMPFAIL of sysexits.h, "try again later". SLURM requeues on it where slurm.conf has
# RequeueExit=75; docs/training.md shows a job script for clusters without it.
STOPPED = 75


class Stopped(SystemExit):
    """The run has saved itself and ends with exit code 75; resume=true continues it."""

    def __init__(self, step: int, folder: Path, report: bool):
        super().__init__(STOPPED)
        if report:
            print(f"stopped after step {step} and saved; continue with resume=true in {folder}")


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether a signal has come; the step in progress isn't cut off."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may set handlers
        return
    before = {
        number: signal.signal(number, lambda which, _: received.append(which))
        for number in (signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
