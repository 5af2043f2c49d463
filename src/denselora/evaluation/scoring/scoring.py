"""What every way to an answer has in common."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Dataset
from torch import nn
from transformers import GenerationConfig

from denselora.errors import UserError
from denselora.evaluation.respondent import Respondent
from denselora.results.predictions import prompt_hash
from denselora.tasks import Benchmark

# A row of a predictions file, see results.predictions.
Prediction = dict[str, Any]


@dataclass(frozen=True)
class Scoring(ABC):
    """How the rows of one benchmark are answered by one respondent.

    name: as the option `scoring` and records have it. windows: whether it follows the model's own
    attention, however far it looks back.
    """

    name: ClassVar[str]
    windows: ClassVar[bool] = False
    respondent: Respondent
    benchmark: Benchmark

    @classmethod
    def lacks(cls) -> str | None:
        """Which package is missing that it needs and how to get it, in words; None if none is."""
        return None

    @classmethod
    def unfit(cls, benchmark: Benchmark) -> str | None:
        """Why a benchmark can't be answered so, and what to do; None if it can."""
        return None

    @classmethod
    def check(cls, benchmark: Benchmark) -> None:
        """Raise UserError for a benchmark that can't be answered so."""
        if why := cls.unfit(benchmark):
            raise UserError(f"scoring={cls.name}: {why}")

    @classmethod  # noqa: B027, this one takes any
    def check_model(cls, model: nn.Module, path: str) -> None:
        """Raise UserError for a kind of model that can't be asked so. path: as it names it."""

    @classmethod
    def decoding(cls, respondent: Respondent) -> GenerationConfig | None:
        """Every decoding field; None where nothing is decoded."""
        return None

    @classmethod
    def prepared(cls, model: nn.Module) -> AbstractContextManager:
        """To be entered once for all benchmarks of a model."""
        return nullcontext()

    @abstractmethod
    def answers(
        self, rows: Dataset, done: Collection[int], batch_tokens: int
    ) -> Iterator[list[Prediction]]:
        """This process's share of the rows that aren't done, some at a time, in any order.

        done: numbers of rows that any process has answered already. batch_tokens: tokens of a
        batch at most, where there are batches of its own.
        """

    def prediction(
        self, number: int, prompt: str, gold: str, raw: str, parsed: str | None
    ) -> Prediction:
        """What is kept of an answer: raw as it was given, parsed as it was read."""
        return {
            "id": number,
            "prompt_hash": prompt_hash(prompt),
            "raw": raw,
            "parsed": parsed,
            "gold": gold,
            "correct": self.benchmark.is_right(parsed, gold),
        }

    def ranked(
        self, number: int, prompt: str, gold: str, words: Sequence[str], nats: Sequence[float]
    ) -> Prediction:
        """What is kept where the words were ranked by these log-likelihoods: the first of the
        best is the answer. Raises UserError if they aren't finite."""
        if not all(map(math.isfinite, nats)):
            raise UserError(f"row {number}: log-likelihoods that aren't finite ({list(nats)})")
        best = words[max(range(len(words)), key=nats.__getitem__)]
        by_word = {word: round(value, 4) for word, value in zip(words, nats, strict=True)}
        kept = self.prediction(number, prompt, gold, best, best)
        return kept | {"log_likelihood_nats": by_word}
