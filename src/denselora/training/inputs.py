"""What a run is made from, which must be the same when it is continued."""

from pathlib import Path
from typing import Any

from denselora.errors import UserError
from denselora.models import same_base
from denselora.training.job import Job


def check_inputs(saved: dict[str, Any], inputs: dict[str, Any], job: Job, checkpoint: Path) -> None:
    """Raise UserError if the rows or the base are no longer those that a checkpoint was made from.

    saved: its state; that of an earlier version holds no inputs. inputs: rows, see `Plan.digest`,
    base, see `models.fingerprint`, and precision, see `device.computed_in`.
    """
    before = saved.get("inputs")
    if before is None:
        return
    then = f"since {checkpoint}; put them back, or train in another output_dir"
    if before.get("precision", inputs["precision"]) != inputs["precision"]:
        raise UserError(
            f"trainer.precision=auto: was {before['precision']} up to {checkpoint} and is "
            f"{inputs['precision']} on this device; go on on one like that before, or train in "
            "another output_dir"
        )
    if before["rows"] != inputs["rows"]:
        raise UserError(f"{job.train_file}: the rows, or the tokens they give, have changed {then}")
    if not same_base(before["base"], inputs["base"]):
        raise UserError(
            f"model.path={job.config['model']['path']}: the weights have changed {then}"
        )
