"""Where a benchmark's rows come from originally."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hub:
    """A dataset on the Hugging Face hub.

    test: the split with public labels that the field tests on.
    question: hub row -> question, options (none if the question offers them itself), index of the
        right answer, below 0 where the label is hidden.
    configs: the training rows are those of all configs; the test rows are the first one's.
    """

    name: str
    test: str
    question: Callable[[dict[str, Any]], tuple[str, Sequence[str], int]]
    configs: tuple[str | None, ...] = (None,)
    revision: str | None = None
