"""Where a number comes from: code, packages and machine."""

import contextlib
import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "bitsandbytes", "triton")


@functools.cache
def git_state() -> dict[str, Any]:
    """Commit of the checkout that holds this file and whether it has changes; null outside one.

    New files in results/ are no change: each run of an experiment leaves its record there.

    As it was at the first call: a long run calls it at its start, before anyone edits the checkout.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changes = git("status", "--porcelain", "--", ":/", ":(top,exclude)results")
        return {"commit": commit, "dirty": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def packages() -> dict[str, str]:
    """Versions of Python and of the installed ones of the packages that can change a number."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def device(count: int = 1) -> dict[str, Any]:
    """The kind of device that computes, and how many processes use one each."""
    if torch.cuda.is_available():
        return {"name": torch.cuda.get_device_name(), "count": count}
    return {"name": f"CPU ({torch.get_num_threads()} threads)", "count": count}


def peak_memory_gib() -> float:
    """The most memory held so far by this process: the GPU's if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
