"""Checks side by side, each in a process of its own with its own time limit."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from denselora.errors import first_line
from denselora.speed.check.finding import Finding, Place

REHEARSAL = 10  # times as long a check may take on a CPU
Function = Callable[[Place], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One process. seconds: after which it is stopped. alone: because it measures time."""

    function: Function
    seconds: int
    alone: bool = False

    @property
    def name(self) -> str:
        return f"{self.function.__module__.rpartition('.')[2]}: {self.function.__name__}"

    @property
    def about(self) -> str:
        return (self.function.__doc__ or "").splitlines()[0]


@dataclass
class Outcome:
    """A check that has ended, or not yet."""

    check: Check
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    failure: str | None = None

    @property
    def rows(self) -> list[Finding]:
        failed = [Finding("the check itself", self.failure, "ends", False)] if self.failure else []
        return self.findings + failed

    @property
    def failures(self) -> list[str]:
        """Of each row that failed, the check and what."""
        return [f"{self.check.name}: {row.what}" for row in self.rows if row.passed is False]


@dataclass
class _Process:
    """A check's process; it has imported everything before it is given the word to begin."""

    outcome: Outcome
    process: multiprocessing.Process
    pipe: Connection
    limit: float
    ready: bool = False
    began: float = 0.0

    def is_ready(self) -> bool:
        """Whether it waits for the word, or has ended before."""
        if not self.ready and self.pipe.poll():
            self.ready = True
            with contextlib.suppress(EOFError):
                self.pipe.recv()
        return self.ready

    def begin(self) -> None:
        self.began = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send("begin")

    def stop_if_late(self) -> None:
        if time.monotonic() - self.began > self.limit and not self.outcome.failure:
            self.outcome.failure = f"stopped: no end within {self.limit:.0f} s"
            os.killpg(self.process.pid, signal.SIGKILL)


def run_all(checks: Sequence[Check], place: Place, folder: Path) -> Iterator[Outcome]:
    """Start them in their order, those that measure time alone; give each outcome as it ends."""
    most = max(1, (os.cpu_count() or 1) // 2) if place.is_gpu else 1
    waiting, running = list(checks), []
    prepared: list[_Process] = []
    while waiting or prepared or running:
        while waiting and len(prepared) < most - len(running) + 1:
            prepared.append(_prepare(waiting.pop(0), place, folder))
        while prepared and _may_begin(prepared[0], running, most) and prepared[0].is_ready():
            running.append(prepared.pop(0))
            running[-1].begin()
        ready = wait([each.pipe for each in (*running, *prepared[:1])], timeout=0.2)
        for each in [each for each in running if each.pipe in ready]:
            try:
                said = each.pipe.recv()
            except (EOFError, OSError):  # it has ended
                each.process.join()
                running.remove(each)
                outcome = each.outcome
                if each.process.exitcode and not outcome.failure:
                    outcome.failure = _ending(each.process.exitcode)
                outcome.seconds = time.monotonic() - each.began
                yield outcome
                continue
            if isinstance(said, Finding):
                each.outcome.findings.append(said)
            else:
                each.outcome.failure = said
        for each in running:
            each.stop_if_late()


def _prepare(check: Check, place: Place, folder: Path) -> _Process:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    log = folder / f"{check.name.replace(': ', '-')}.log"
    process = context.Process(target=_child, args=(check, place, theirs, log))
    process.start()
    theirs.close()
    limit = check.seconds * (1 if place.is_gpu else REHEARSAL)
    return _Process(Outcome(check), process, ours, limit)


def _may_begin(next_: _Process, running: Sequence[_Process], most: int) -> bool:
    if next_.outcome.check.alone or any(each.outcome.check.alone for each in running):
        return not running
    return len(running) < most


def _child(check: Check, place: Place, pipe: Connection, log: Path) -> None:
    """The process of one check: its output goes to a file, what it finds through the pipe."""
    os.setsid()  # so that what it starts ends with it
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = 0
        pipe.send("ready")
        pipe.recv()
        try:
            for finding in check.function(place):
                pipe.send(finding)
        except BaseException as error:
            traceback.print_exc()
            pipe.send(f"{type(error).__name__}: {first_line(error)}")
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
    pipe.close()
    os._exit(code)  # at once: what libraries do at their end is no part of the check


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
