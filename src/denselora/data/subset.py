"""Part of the training rows, for the low-resource curve.

A smaller part lies within every larger one of the same seed: each is a beginning of one order.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest

from denselora.errors import UserError
from denselora.tasks import offered


def subset(
    order: Sequence[int],
    instructions: Sequence[str],
    fraction: float | None = None,
    n_train: int | None = None,
    balanced: bool = False,
) -> list[int]:
    """The first rows of the order: a fraction of them, or a number; all of them without either.

    order: the training rows' numbers, shuffled by the seed. instructions: of all rows of the file.
    balanced: take from each kind of question in turn (see `kind`), as long as it has rows, instead
    of each as often as it occurs.

    Raises UserError for a size that cannot be.
    """
    if fraction is None and n_train is None:
        return list(order)
    if fraction is not None and n_train is not None:
        raise UserError("data.fraction and data.n_train are both set; give one of them")
    if fraction is not None:
        if not isinstance(fraction, int | float) or not 0 < fraction <= 1:
            raise UserError(f"data.fraction={fraction}: give a number above 0, up to 1")
        n_train = max(1, round(fraction * len(order)))
    if not isinstance(n_train, int) or not 1 <= n_train <= len(order):
        raise UserError(f"data.n_train={n_train}: give 1 to {len(order)}, the rows to train on")
    if not balanced:
        return list(order[:n_train])
    kinds = defaultdict(list)
    for number in order:
        kinds[kind(instructions[number])].append(number)
    turns = (number for turn in zip_longest(*kinds.values()) for number in turn)
    return [number for number in turns if number is not None][:n_train]


def kind(instruction: str) -> str:
    """What kind of question a row asks, from the answer words that it names.

    It tells BoolQ, PIQA, HellaSwag and WinoGrande, which have answer words of their own, from
    questions with three answers (SIQA) and with more (ARC and OBQA, whose rows look alike).
    """
    words = offered(instruction)
    if not words:
        return "free"
    return "answer4" if len(words) > 4 else words[-1]
