"""What launchers for clusters have in common: each run is a command, `reproduce.py --run OPTIONS`.

How a run went stands in its folder, which all machines share; nothing is sent between them.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:  # Hydra imports its plugins at every start
    from denselora.reproduce.point import Point


class Elsewhere(Launcher):
    """Has `start` run what isn't done, and returns what became of each run."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        pass  # the runs compose their own configs

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from denselora.reproduce.point import OVER
        from denselora.reproduce.points import point_of
        from denselora.reproduce.script import SCRIPTS

        points = [point_of(overrides) for overrides in job_overrides]
        # --run alone leaves the mode to the config
        script = [str(SCRIPTS / "reproduce.py"), "--run", "hydra.mode=RUN"]
        commands = {
            _log(point): [sys.executable, "-P", "-m", "denselora.reproduce.child", *script, *given]
            for point, given in zip(points, job_overrides, strict=True)
            if point.state not in OVER
        }
        if commands:
            first = next(iter(commands))
            print(f"What each run prints is in {first.parent}/<run id>.log", flush=True)
            self.start(commands)
        return [_returned(point) for point in points]

    @abstractmethod
    def start(self, commands: Mapping[Path, Sequence[str]]) -> None:
        """Run commands, by the files that they are to print to, and return when all have ended."""


def _log(point: Point) -> Path:
    return point.folder.absolute().with_name(f"{point.folder.name}.log")


def _returned(point: Point) -> JobReturn:
    from denselora.errors import UserError
    from denselora.reproduce.point import OVER
    from denselora.reproduce.states import state_of

    returned = JobReturn(status=JobStatus.COMPLETED)
    if point.state in OVER:
        returned.return_value = point.outcome()
    else:
        found = state_of(point.folder)
        reason = f" ({found.reason})" if found.reason else ""
        returned.status = JobStatus.FAILED
        returned.return_value = UserError(
            f"{point.folder}: {found.state}{reason}; see {_log(point)}; the same command again "
            "goes on from there"
        )
    return returned
