"""The rows of a run: which are held out, and the order of the others."""

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from denselora.data.dataset import TrainingSet, tokenise
from denselora.data.order import Schedule, shuffled
from denselora.data.subset import subset
from denselora.errors import UserError
from denselora.training.job import Job


def prepare_rows(
    job: Job, raw: Dataset, tokenizer: PreTrainedTokenizerBase
) -> tuple[TrainingSet, TrainingSet | None, Schedule, int]:
    """Training rows, held-out rows, the batches' schedule and the number of optimizer steps.

    All is decided by seed_data alone. Raises UserError if too few rows are left.
    """
    settings, seed = job.settings, job.config["seed_data"]
    if settings.validation_rows >= len(raw):
        raise UserError(
            f"trainer.validation_rows={settings.validation_rows} leaves nothing to train on: "
            f"{job.train_file} has {len(raw)} rows; lower it"
        )
    order = shuffled(len(raw), seed, "validation")
    held_out = sorted(order[: settings.validation_rows])
    part = {key: job.config["data"][key] for key in ("fraction", "n_train", "balanced")}
    numbers = sorted(subset(order[settings.validation_rows :], raw["instruction"][:], **part))
    steps = settings.steps(len(numbers))

    def encoded(numbers: list[int]) -> TrainingSet:
        return tokenise(raw, numbers, tokenizer, job.protocol, str(job.train_file))

    schedule = Schedule(numbers, seed, settings.global_batch_size)
    rows = encoded(schedule.used(steps))
    return rows, encoded(held_out) if held_out else None, schedule, steps
