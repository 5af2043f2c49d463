"""The options of scripts/reproduce.py and scripts/reproduce_paper.py."""

from typing import Annotated

from pydantic import model_validator

from denselora.command_line.fields import (
    AnyText,
    Count,
    FilePath,
    Flag,
    Seeds,
    Several,
    Whole,
    Words,
    options,
)
from denselora.errors import UserError
from denselora.evaluation.options import SuiteScoring
from denselora.training.options import Train

# more than there are runs
MOST_GPUS = 100_000


@options
class Evaluation:
    """Those of evaluate.py that are passed on to it."""

    limit: Count | None
    scoring: SuiteScoring
    batch_tokens: Count
    neutral_text: FilePath | None


@options
class Reproduce(Train):
    """Those of train.py, and what configs/reproduce.yaml says the meaning of."""

    evaluation: Evaluation | None
    tuned: Flag
    runs_dir: FilePath
    results_dir: FilePath
    gpu: AnyText

    @model_validator(mode="after")
    def _names_the_runs_folders(self):
        if self.output_dir is not None:
            raise UserError(
                f"output_dir={self.output_dir}: each run gets a folder of its own in runs_dir; set "
                "that"
            )
        return self


@options
class Paper:
    """configs/reproduce_paper.yaml says what they mean."""

    models: Words
    seeds: Seeds
    gpu: AnyText
    gpus: Annotated[list[int] | int, Several(Whole(1, MOST_GPUS), one=True)]
    options: AnyText | None
