"""How far each run of a folder is.

Beside the folder of a run, runs/<id>.json says what it was asked to do and how its last attempt
ended; the process that runs it holds a lock on that file.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter, ValidationError
from pydantic import dataclasses as checked

from denselora.errors import UserError, first_fault
from denselora.files import writing
from denselora.lock import TRIES, is_locked, take
from denselora.readers import read_json
from denselora.results.record import RECORD
from denselora.training.run_folder import RunFolder

STATES = ("done", "trained", "running", "stopped", "failed", "diverged", "missing")


@checked.dataclass(frozen=True, kw_only=True)
class Noted:
    """What a note says."""

    options: list[str]
    state: str
    reason: str


_noted = TypeAdapter(Noted)


@dataclass(frozen=True)
class RunState:
    """One run. state: one of STATES. trained: its evaluation is yet to come. stopped: it goes on
    when it is started again. missing: planned, not begun."""

    run: str
    state: str
    reason: str
    options: list[str]


def note_plan(folder: Path, options: list[str]) -> None:
    """Note a run before it begins, so that it is found missing if it never does."""
    note = _note(folder)
    with writing(note), note.open("a+", encoding="utf-8") as file:
        # never a new file in its place: another sweep, on another machine, may have locked this one
        if not _size(file) and take(file, fcntl.LOCK_EX) and not _size(file):
            file.write(_text(options, "missing"))


@contextlib.contextmanager
def claimed(folder: Path, options: list[str]) -> Iterator[Callable[[str, str], None]]:
    """Hold the lock on a run; gives a function (state, reason) that notes how it ended.

    Raises UserError if another process holds it.
    """
    note_plan(folder, options)
    with _note(folder).open("r+", encoding="utf-8") as file:
        if not take(file, fcntl.LOCK_EX, TRIES):
            raise UserError(f"{folder}: another process runs it; wait for that")

        def note(state: str, reason: str = "") -> None:
            # in place: a new file would not be locked
            file.seek(0)
            file.truncate()
            file.write(_text(options, state, reason))
            file.flush()

        note("running")
        yield note


def state_of(folder: Path) -> RunState:
    """How far one run is. Its files count before its note, which a killed run leaves as it was."""
    note = _note(folder)
    noted = Noted(options=[], state="missing", reason="")
    held = False
    if note.is_file():
        with note.open("rb") as file:
            held = not take(file, fcntl.LOCK_SH)
            try:
                # an empty one was begun by a process that has not got further
                noted = _read_note(note) if _size(file) else noted
            except UserError:
                if not held:  # else it is being written
                    raise

    def found(state: str, reason: str = "") -> RunState:
        return RunState(folder.name, state, reason, noted.options)

    run = RunFolder(folder)
    # a training of its own, by train.py, holds the folder alone
    if held or is_locked(folder):
        return found("running")
    if any(folder.glob(f"evaluation*/{RECORD}")):
        later = noted.state == "failed"
        return found("done", f"the last attempt failed: {noted.reason}" if later else "")
    if run.diverged:
        return found("diverged", run.trained().training.collapsed)
    if noted.state == "running":
        return found("failed", "killed")
    if noted.state == "failed":
        return found("failed", noted.reason)
    if run.finished:
        return found("trained")
    return found("stopped" if folder.is_dir() else "missing")


def all_states(runs: Path) -> list[RunState]:
    """Every run that a folder holds or is to hold, by name."""
    folders = {file.parent for file in runs.glob("*/config.yaml")}
    folders |= {note.with_suffix("") for note in runs.glob("*.json")}
    return [state_of(folder) for folder in sorted(folders)]


def _size(file: IO) -> int:
    return os.fstat(file.fileno()).st_size


def _read_note(file: Path) -> Noted:
    fix = "give the runs_dir of reproduce.py, or delete the file if it is a run's, damaged"
    noted = read_json(file, fix)
    try:
        return _noted.validate_python(noted)
    except ValidationError as error:
        raise UserError(f"{file}: {first_fault(error)}; {fix}") from None


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _text(options: list[str], state: str, reason: str = "") -> str:
    return json.dumps({"options": options, "state": state, "reason": reason}, indent=2) + "\n"
