"""The options of scripts/reproduce.py."""

from denselora.evaluation.options import ScoringName
from denselora.fields import AnyText, Count, FilePath, Flag, options
from denselora.training.options import Train


@options
class Evaluation:
    """Those of evaluate.py that are passed on to it."""

    limit: Count | None
    scoring: ScoringName
    batch_tokens: Count


@options
class Reproduce(Train):
    """Those of train.py, and what configs/reproduce.yaml says the meaning of."""

    evaluation: Evaluation
    tuned: Flag
    runs_dir: FilePath
    results_dir: FilePath
    gpu: AnyText
