"""Checkpoints: all that a run needs to go on as if it had never stopped."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy
import torch

from denselora.errors import UserError

STATE = "state.pt"


def save_checkpoint(folder: Path, step: int, write_weights, state: dict[str, Any], keep: int):
    """Write `folder/step-NNNNNN` whole or not at all, then remove all but the newest `keep`.

    write_weights: called with the folder that takes the trained weights.
    Raises UserError when the disk won't take it; the last complete checkpoint stays.
    """
    target = folder / f"step-{step:06d}"
    partial = folder / f"{target.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_weights(partial)
        torch.save(state, partial / STATE)
        os.replace(partial, target)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        last = latest_checkpoint(folder)
        raise UserError(
            f"{target}: the checkpoint can't be written ({error}); "
            f"the last good one is {last or 'none'}; free space and run again with resume=true"
        ) from None
    for old in _complete(folder)[:-keep]:
        shutil.rmtree(old)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint below the folder."""
    complete = _complete(folder)
    return complete[-1] if complete else None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The saved state; nothing in it is unpickled beyond tensors and plain values."""
    return torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)


def random_state() -> dict[str, Any]:
    """Every generator that this process may draw from."""
    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` took."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _complete(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if (path / STATE).is_file()
                  and not path.name.endswith(".partial"))  # fmt: skip
