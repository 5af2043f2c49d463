"""An experiment tracker beside metrics.jsonl, through Accelerate: wandb or tensorboard."""

from hashlib import sha256

from accelerate import Accelerator
from hydra.core.hydra_config import HydraConfig
from tqdm import tqdm

from denselora.errors import UserError, first_line
from denselora.identity import dotted
from denselora.processes import on_main_process
from denselora.results.artifact import FIX
from denselora.training.job import Job

FIXES = {
    "wandb": FIX,
    "tensorboard": "set tracker=null",
}


def start_tracker(accelerator: Accelerator, job: Job) -> None:
    """Start the configured tracker, if any; a resumed run continues its own wandb run,
    and the runs of an experiment are a group. All processes must call it.

    Raises UserError if the tracker won't start.
    """
    tracker = job.config["tracker"]
    if tracker is None:
        return
    # both want flat values; a folder has one run, so it decides wandb's id
    values = {name: _plain(value) for name, value in dotted(job.config).items()}
    identity = sha256(str(job.folder.absolute()).encode()).hexdigest()[:12]
    wandb = {"name": job.run_id, "id": identity, "resume": "allow", "group": _experiment()}

    def start() -> None:
        try:
            accelerator.init_trackers("denselora", values, {"wandb": wandb})
        except Exception as error:  # wandb's own errors, which are imported with it
            accelerator.trackers = []  # one that hasn't started can't end either
            raise UserError(
                f"tracker={tracker}: can't start ({first_line(error)}); {FIXES[tracker]}"
            ) from None

    on_main_process(start)


def track(accelerator: Accelerator, values: dict[str, int | float], step: int) -> None:
    """Give a step's values to the tracker. One that fails is left out from then on: the values are
    in metrics.jsonl, and the run goes on.
    """
    try:
        accelerator.log(values, step=step)
    except Exception as error:  # each tracker's own errors
        names = ", ".join(tracker.name for tracker in accelerator.trackers)
        tqdm.write(f"step {step}: tracker={names} failed ({first_line(error)}) and is left out now")
        end_tracker(accelerator)


def end_tracker(accelerator: Accelerator) -> None:
    """End the tracker; whatever fails then is a printed line, for the run has ended already."""
    trackers, accelerator.trackers = accelerator.trackers, []
    for tracker in trackers:
        try:
            tracker.finish()
        except Exception as error:  # each tracker's own errors
            accelerator.print(f"tracker={tracker.name}: didn't end well ({first_line(error)})")


def _experiment() -> str | None:
    """The experiment config that the run was composed with: wandb puts its runs together."""
    if not HydraConfig.initialized():
        return None
    return HydraConfig.get().runtime.choices.get("experiment")


def _plain(value: object) -> int | float | str:
    return value if isinstance(value, int | float | str) else str(value)
