"""Tables and figures as an artifact of the tracker."""

from collections.abc import Sequence
from pathlib import Path

from denselora.errors import UserError, first_line


def log_files(folder: Path, files: Sequence[Path]) -> None:
    """Log files below `folder` to wandb's project denselora, as one version of "results".

    Raises UserError if wandb won't start.
    """
    import wandb

    try:
        run = wandb.init(project="denselora", job_type="tables", name="tables")
    except Exception as error:  # wandb's own errors
        raise UserError(
            f"tracker=wandb: can't start ({first_line(error)}); set WANDB_MODE=offline or "
            "tracker=null"
        ) from None
    artifact = wandb.Artifact("results", type="results")
    for file in files:
        artifact.add_file(str(file), name=file.relative_to(folder).as_posix())
    run.log_artifact(artifact)
    run.finish()
