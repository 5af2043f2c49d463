"""Checkpoints: all that a run needs to go on as if it had never stopped."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from denselora.errors import UserError, first_line
from denselora.files import flush
from denselora.readers import read_head
from denselora.weight_files import check_weights

STATE = "state.pt"
# what State.collect gives that no run can go on without
KEYS = {"optimizer", "scheduler", "progress", "random", "metrics"}
NAME = re.compile(r"step-\d+")
RESTORE = "restore the checkpoint, or train again in another output_dir"


@dataclass(frozen=True)
class Checkpoints:
    """The folders step-NNNNNN below `path`; the newest `keep` good ones stay.

    One appears by a rename when all of it is on the disk, so that a stop at any moment leaves the
    one before it in place. It is good once its weights have given a finite loss; until then it
    takes no good one's place.
    """

    path: Path
    keep: int

    def save(
        self,
        step: int,
        write_weights: Callable[[Path], None],
        state: dict[str, Any],
        keep_too: int | None = None,
        good_up_to: int | None = None,
    ) -> None:
        """Write the checkpoint of a step, then remove the good ones but the newest `keep` and
        that of the step `keep_too`.

        write_weights: called with the folder that takes the trained weights. good_up_to: the last
        step whose checkpoint is known to be good; None if this one is, too.
        Raises UserError when the disk won't take it; the last complete checkpoint stays.
        """
        target = self.at(step)
        partial = target.with_suffix(".partial")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_weights(partial)
            torch.save(state, partial / STATE)
            for file in partial.iterdir():
                flush(file)
            if target.exists():  # without its state: what was never whole
                _set_aside(target)
            os.replace(partial, target)
        # torch and safetensors have their own errors for a disk that is full
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"{target}: the checkpoint can't be written ({first_line(error)}); the last good "
                f"one is {self.latest(good_up_to) or 'none'}; free space and run again with "
                "resume=true"
            ) from None
        for old in self._complete(good_up_to)[: -self.keep]:
            if keep_too is None or old != self.at(keep_too):
                # renamed first: half-removed, it must not be taken for a complete one
                os.replace(old, old.with_suffix(".removed"))
        for removed in self.path.glob("step-*.removed"):
            shutil.rmtree(removed, ignore_errors=True)

    def at(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.path / f"step-{step:06d}"

    def check(self, step: int) -> None:
        """Raise UserError unless a step's weights are there, whole."""
        if not check_weights(self.at(step), RESTORE):
            raise UserError(f"{self.at(step)}: the best checkpoint so far is gone; {RESTORE}")

    def newest_whole(self, say: Callable[[str], None]) -> tuple[Path | None, dict[str, Any] | None]:
        """The newest checkpoint that can be read, and its state; None without any.

        say: takes a line about newer ones that are damaged. Raises UserError if all are.
        """
        faults = []
        for checkpoint in reversed(self._complete()):
            try:
                state = _whole(checkpoint)
            except UserError as error:
                faults.append(error)
                continue
            if faults:
                say(f"{faults[0].args[0].removesuffix(RESTORE)}going on from {checkpoint}")
            return checkpoint, state
        if faults:
            raise faults[0]
        return None, None

    def set_aside_after(self, checkpoint: Path) -> None:
        """Rename the checkpoints after this one, which are damaged or not whole, so that none is
        taken for complete or in the way: step-NNNNNN.damaged.
        """
        for later in self._found():
            if _step(later) > _step(checkpoint):
                _set_aside(later)

    def latest(self, up_to: int | None = None) -> Path | None:
        """The newest complete checkpoint. up_to: of this step at the latest."""
        complete = self._complete(up_to)
        return complete[-1] if complete else None

    def _found(self) -> list[Path]:
        found = (path for path in self.path.glob("step-*") if NAME.fullmatch(path.name))
        return sorted(found, key=_step)

    def _complete(self, up_to: int | None = None) -> list[Path]:
        # exists, not is_file: what stands there instead is for `read_state` to refuse
        complete = [path for path in self._found() if (path / STATE).exists()]
        return [path for path in complete if up_to is None or _step(path) <= up_to]


def _set_aside(checkpoint: Path) -> None:
    aside = checkpoint.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(checkpoint, aside)


def copy_weights(checkpoint: Path, folder: Path) -> None:
    """Copy what `write_weights` wrote into a checkpoint."""
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns(STATE), dirs_exist_ok=True)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The saved state; nothing in it is unpickled beyond tensors and plain values.

    Raises UserError for a file that is damaged.
    """
    file = checkpoint / STATE
    read_head(file, RESTORE)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has one for each kind of damage
        raise UserError(f"{file}: damaged ({first_line(error)}); {RESTORE}") from None
    if not isinstance(state, dict):
        raise UserError(f"{file}: not a run's state; {RESTORE}")
    return state


def _whole(checkpoint: Path) -> dict[str, Any]:
    """The state of a checkpoint that has all its files. Raises UserError for another."""
    state = read_state(checkpoint)
    missing = sorted(KEYS - state.keys())
    if missing:
        raise UserError(f"{checkpoint / STATE}: lacks {', '.join(missing)}; {RESTORE}")
    if not check_weights(checkpoint, RESTORE):
        raise UserError(f"{checkpoint}: has no weights; {RESTORE}")
    return state


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))
