"""Checkpoints: all that a run needs to go on as if it had never stopped."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from denselora.errors import UserError, first_line
from denselora.files import flush

STATE = "state.pt"


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

    def latest(self, up_to: int | None = None) -> Path | None:
        """The newest complete checkpoint. up_to: of this step at the latest."""
        complete = self._complete(up_to)
        return complete[-1] if complete else None

    def _complete(self, up_to: int | None = None) -> list[Path]:
        found = [path for path in self.path.glob("step-*") if not path.suffix]
        complete = sorted((path for path in found if (path / STATE).is_file()), key=_step)
        return [path for path in complete if up_to is None or _step(path) <= up_to]


def copy_weights(checkpoint: Path, folder: Path) -> None:
    """Copy what `write_weights` wrote into a checkpoint."""
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns(STATE), dirs_exist_ok=True)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The saved state; nothing in it is unpickled beyond tensors and plain values."""
    return torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))
