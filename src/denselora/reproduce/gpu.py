"""One GPU for each run on a machine with several."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from denselora.lock import take


@contextmanager
def one_gpu() -> Iterator[dict[str, str]]:
    """Claim a GPU that no other run of this user on this machine holds, waiting for one if need be.

    Gives the environment that makes a process see it alone: nothing where one or none is visible,
    as when SLURM or Ray has chosen already.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]
    if len(visible) < 2:
        yield {}
        return
    files = [
        (Path(tempfile.gettempdir()) / f"denselora-{os.getuid()}-gpu-{name}.lock").open("w")
        for name in visible
    ]
    try:
        free = next((n for n, file in enumerate(files) if take(file, fcntl.LOCK_EX)), None)
        if free is None:
            free = os.getpid() % len(files)
            fcntl.flock(files[free], fcntl.LOCK_EX)
        yield {"CUDA_VISIBLE_DEVICES": visible[free]}
    finally:
        for file in files:
            file.close()
