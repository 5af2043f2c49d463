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

    Raises as `size` does.
    """
    n_train = size(len(order), fraction, n_train)
    if not balanced:
        return list(order[:n_train])
    kinds = defaultdict(list)
    for number in order:
        kinds[kind(instructions[number])].append(number)
    turns = (number for turn in zip_longest(*kinds.values()) for number in turn)
    return [number for number in turns if number is not None][:n_train]


def size(rows: int, fraction: float | None = None, n_train: int | None = None) -> int:
    """How many of so many rows are trained on: all of them without a fraction or a number.

    Raises UserError for more than there are.
    """
    if fraction is not None:
        return max(1, round(fraction * rows))
    if n_train is not None and n_train > rows:
        raise UserError(f"data.n_train={n_train}: give 1 to {rows}, the rows to train on")
    return rows if n_train is None else n_train


def kind(instruction: str) -> str:
    """What kind of question a row asks, from the answer words that it names.

    It tells BoolQ, PIQA, HellaSwag and WinoGrande, which have answer words of their own, from
    questions with three answers (SIQA) and with more (ARC and OBQA, whose rows look alike).
    """
    words = offered(instruction)
    if not words:
        return "free"
    return "answer4" if len(words) > 4 else words[-1]
