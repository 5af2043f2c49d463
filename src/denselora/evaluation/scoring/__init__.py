"""The ways to an answer: decode and read it, or rank the words offered, here or by the harness, or
the options' texts."""

from denselora.errors import UserError
from denselora.evaluation.scoring.choice import Choice
from denselora.evaluation.scoring.generate import Generate
from denselora.evaluation.scoring.harness import Harness
from denselora.evaluation.scoring.scoring import Scoring
from denselora.evaluation.scoring.texts import Texts

SCORINGS = {kind.name: kind for kind in (Generate, Choice, Harness, Texts)}


def scoring_kind(name: str) -> type[Scoring]:
    """The way of the option `scoring`; UserError where a package is missing."""
    if lacks := SCORINGS[name].lacks():
        raise UserError(f"scoring={name} needs {lacks}")
    return SCORINGS[name]


__all__ = ["SCORINGS", "Choice", "Generate", "Harness", "Scoring", "Texts", "scoring_kind"]
