"""One GPU for each run on a machine with several."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from denselora.lock import take


@contextmanager
def one_gpu() -> Iterator[dict[str, str]]:
    """Claim a GPU that no other run of this user on this machine holds, waiting for one if need be.

    Gives the environment that makes a process see it alone: nothing where one or none is visible,
    as when SLURM or Ray has chosen already. That one is held too, without waiting, and with others
    that were given it.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    visible = [name.strip() for name in named.split(",") if name.strip()]
    visible = visible or [str(n) for n in range(torch.cuda.device_count())]
    files = [_lock_file(name).open("w") for name in visible]
    try:
        if len(files) < 2:
            for file in files:
                take(file, fcntl.LOCK_SH)
            yield {}
            return
        while (
            free := next((n for n, f in enumerate(files) if take(f, fcntl.LOCK_EX)), None)
        ) is None:
            time.sleep(1)
        yield {"CUDA_VISIBLE_DEVICES": visible[free]}
    finally:
        for file in files:
            file.close()


def _lock_file(name: str) -> Path:
    """name: a GPU's number or id; those of MIG may have slashes."""
    name = name.replace("/", "-")
    return Path(tempfile.gettempdir()) / f"denselora-{os.getuid()}-gpu-{name}.lock"
