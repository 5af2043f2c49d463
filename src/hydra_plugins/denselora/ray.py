"""A Ray task for each run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.denselora.elsewhere import Elsewhere


class RayLauncher(Elsewhere):
    """address: a cluster's; None: the one that runs on this machine, else one for this sweep alone.
    The other arguments are those of ray.remote.

    A run whose worker or node is lost is started again elsewhere. Runs have the environment that
    `ray start` had, and the sweep's current folder.
    """

    def __init__(self, address: str | None, **remote: Any) -> None:
        self.address, self.remote = address, remote

    def start(self, commands: Mapping[Path, Sequence[str]]) -> None:
        """Raises UserError without Ray, or without a cluster at the address."""
        from denselora.errors import UserError, first_line

        try:
            import ray
        except ImportError:
            raise UserError(
                "hydra/launcher=ray_gpus: there is no Ray; pip install -e '.[ray]'"
            ) from None
        try:
            ray.init(address=self.address, logging_level="WARNING", log_to_driver=False)
        except ConnectionError as error:
            raise UserError(
                f"hydra.launcher.address={self.address}: {first_line(error)}; start Ray there or "
                "give another one"
            ) from None
        task = ray.remote(**self.remote)(_run)
        for started in [task.remote(os.getcwd(), *each) for each in commands.items()]:
            try:
                ray.get(started)
            except ray.exceptions.RayError as error:
                print(f"Ray: {first_line(error)}", flush=True)
        ray.shutdown()


def _run(folder: str, log: Path, command: Sequence[str]) -> None:
    """In a Ray worker. How the run has ended stands in its folder."""
    with log.open("a") as file:
        subprocess.run(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
