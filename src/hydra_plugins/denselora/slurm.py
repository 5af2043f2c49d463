"""A SLURM job for each run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.denselora.elsewhere import Elsewhere

# between two looks at the queue
LOOK_S = 5


class SlurmLauncher(Elsewhere):
    """Its arguments are options of sbatch, with _ for -; None isn't passed on.

    A run whose job is in the queue already isn't submitted again. Jobs are known by the files that
    they print to.
    """

    def __init__(self, **sbatch: Any) -> None:
        given = {name.replace("_", "-"): v for name, v in sbatch.items() if v is not None}
        self.options = [f"--{name}={value}" for name, value in given.items()]

    def start(self, commands: Mapping[Path, Sequence[str]]) -> None:
        """Raises UserError if a job can't be submitted."""
        from denselora.reproduce.script import SCRIPTS

        queued = _queued()
        for log, command in commands.items():
            if log not in queued:
                job = [f"--job-name={log.stem}", f"--output={log}", SCRIPTS / "slurm_job.sh"]
                _called("sbatch", *self.options, *job, *command)
        print(
            f"{len(commands)} jobs are in the queue; squeue --me lists them. Ctrl-C leaves them "
            "there, and the same command waits for them again",
            flush=True,
        )
        while _any_queued(commands):
            time.sleep(LOOK_S)


def _any_queued(logs: Collection[Path]) -> bool:
    """Also while SLURM doesn't answer, as when its controller starts anew."""
    from denselora.errors import UserError

    try:
        return not _queued().isdisjoint(logs)
    except UserError:
        return True


def _queued() -> set[Path]:
    """What this user's waiting and running jobs write to."""
    lines = _called("squeue", "--me", "--noheader", "--Format=StdOut:4096").splitlines()
    return {Path(line.strip()) for line in lines}


def _called(*command: Any) -> str:
    """What a command prints. Raises UserError if it fails."""
    from denselora.errors import UserError

    try:
        ended = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(
            f"hydra/launcher=slurm_gpus: there is no {command[0]} here; run it where SLURM is"
        ) from None
    if ended.returncode:
        raise UserError(f"{command[0]}: {ended.stderr.strip()}; fix it and run again")
    return ended.stdout
