"""An experiment tracker beside metrics.jsonl, through Accelerate: wandb or tensorboard."""

from hashlib import sha256

from accelerate import Accelerator
from hydra.core.hydra_config import HydraConfig

from denselora.errors import UserError, first_line
from denselora.identity import dotted
from denselora.training.job import Job


def start_tracker(accelerator: Accelerator, job: Job) -> None:
    """Start the configured tracker, if any; a resumed run continues its own wandb run,
    and the runs of an experiment are a group.

    Raises UserError if the tracker won't start.
    """
    tracker = job.config["tracker"]
    if tracker is None:
        return
    # both want flat values; a folder has one run, so it decides wandb's id
    values = {name: _plain(value) for name, value in dotted(job.config).items()}
    identity = sha256(str(job.folder.absolute()).encode()).hexdigest()[:12]
    wandb = {"name": job.run_id, "id": identity, "resume": "allow", "group": _experiment()}
    try:
        accelerator.init_trackers("denselora", values, {"wandb": wandb})
    except Exception as error:  # wandb's own errors, which are imported with it
        fix = "; set WANDB_MODE=offline or tracker=null" if tracker == "wandb" else ""
        raise UserError(f"tracker={tracker}: can't start ({first_line(error)}){fix}") from None


def _experiment() -> str | None:
    """The experiment config that the run was composed with: wandb puts its runs together."""
    if not HydraConfig.initialized():
        return None
    return HydraConfig.get().runtime.choices.get("experiment")


def _plain(value: object) -> int | float | str:
    return value if isinstance(value, int | float | str) else str(value)
