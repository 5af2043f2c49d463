"""Being asked to stop: by SIGTERM and SIGUSR1, as SLURM and cloud machines send them, or Ctrl-C."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# EX_TEMPFAIL of sysexits.h, "try again later". SLURM requeues on it where slurm.conf has
# RequeueExit=75; docs/training.md shows a job script for clusters without it.
STOPPED = 75
# within so many seconds it is the same Ctrl-C, which the terminal and a launcher both send
SAME_S = 1.0


class Stopped(SystemExit):
    """The run has saved itself and ends with exit code 75. then: how it is continued."""

    def __init__(self, step: int, then: str, report: bool):
        super().__init__(STOPPED)
        if report:
            print(f"stopped after step {step} and saved; {then}")


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether a signal has come; the step in progress isn't cut off.

    A second Ctrl-C raises KeyboardInterrupt.
    """
    received: list[int] = []
    interrupted: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may set handlers
        return

    def note(number: int, _frame) -> None:
        received.append(number)

    def interrupt(number: int, _frame) -> None:
        now = time.monotonic()
        if interrupted and now - interrupted[0] > SAME_S:
            raise KeyboardInterrupt(
                "interrupted before it was saved; continue it from its last checkpoint"
            )
        if not interrupted:
            # print isn't for signal handlers: it may be what was interrupted
            os.write(2, b"\nCtrl-C: it stops after this step and saves; again, it stops at once\n")
        interrupted.append(now)
        received.append(number)

    handlers = {signal.SIGTERM: note, signal.SIGUSR1: note, signal.SIGINT: interrupt}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
