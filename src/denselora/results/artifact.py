"""Tables and figures as an artifact of the tracker."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from denselora.errors import UserError, first_line

FIX = "`wandb login`, or set WANDB_MODE=offline or tracker=null"


def check_wandb() -> None:
    """Raise UserError unless wandb is installed, and has a key or needs none."""
    if not find_spec("wandb"):
        raise UserError("tracker=wandb: not installed; `pip install wandb`, or tracker=null")
    import wandb

    try:
        ready = wandb.setup().settings.mode != "online" or wandb.login(prompt=False)
    except Exception as error:  # wandb's own errors
        raise UserError(f"tracker=wandb: can't log in ({first_line(error)}); {FIX}") from None
    if not ready:
        raise UserError(f"tracker=wandb: no key; {FIX}")


def log_files(folder: Path, files: Sequence[Path]) -> None:
    """Log files below `folder` to wandb's project denselora, as one version of "results".

    Raises UserError if wandb won't start or take them.
    """
    import wandb

    try:
        with wandb.init(project="denselora", job_type="tables", name="tables") as run:
            artifact = wandb.Artifact("results", type="results")
            for file in files:
                artifact.add_file(str(file), name=file.relative_to(folder).as_posix())
            run.log_artifact(artifact)
    except Exception as error:  # wandb's own errors
        raise UserError(
            f"tracker=wandb: can't take the files ({first_line(error)}); {FIX}"
        ) from None
