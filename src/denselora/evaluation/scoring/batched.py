"""Answers computed here, in batches of prompts of like length."""

import gc
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch import nn

from denselora.errors import UserError
from denselora.evaluation.context import Head, check_readable, compute_head, shared_head
from denselora.evaluation.scoring.scoring import Prediction, Scoring
from denselora.evaluation.share import share
from denselora.out_of_memory import is_out_of_memory


@dataclass(frozen=True)
class Question:
    """A row as the model is asked it.

    number: its place in the list of rows. ids: what the model reads.
    """

    number: int
    prompt: str
    gold: str
    ids: list[int]


class BatchedScoring(Scoring):
    """A way that answers any number of questions in one go.

    Rows go longest first, so that memory runs out at once or never, and every process gets as many
    long ones as the others. When it does run out, the batch is halved and all later ones are
    smaller.
    """

    @classmethod
    def check_model(cls, model: nn.Module, path: str) -> None:
        check_readable(model, path)

    @property
    @abstractmethod
    def room(self) -> int:
        """Tokens that a row may need beside its prompt."""

    @abstractmethod
    def questions(self, rows: Dataset) -> list[Question]:
        """The rows as the model is asked them, in their order."""

    @abstractmethod
    def answer(self, head: Head, questions: Sequence[Question]) -> list[Prediction]:
        """A prediction for each of the questions, computed as one batch."""

    def answers(
        self, rows: Dataset, done: Collection[int], batch_tokens: int
    ) -> Iterator[list[Prediction]]:
        questions = self.questions(rows)
        order = sorted(range(len(questions)), key=lambda i: (-len(questions[i].ids), i))
        waiting = share([i for i in order if i not in done])
        head = compute_head(
            self.respondent.model, shared_head([question.ids for question in questions])
        )
        batches = Batches([questions[i] for i in waiting], batch_tokens, self.room, len(head.ids))
        return self._answered(head, batches)

    def _answered(self, head: Head, batches: "Batches") -> Iterator[list[Prediction]]:
        for batch in batches:
            try:
                answers = self.answer(head, batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                answers = None
            except UserError as error:
                rows = ", ".join(str(question.number) for question in batch[:5])
                among = f"one of the {len(batch)} rows" if len(batch) > 1 else "row"
                raise UserError(f"{among} {rows}{', ...' if batch[5:] else ''}: {error}") from None
            if answers is None:  # outside of the except: the error holds the batch's memory
                batches.halve(batch, f"{self.benchmark.name}: out of memory")
            else:
                yield answers


class Batches:
    """Questions in batches of at most so many tokens: prompts, their padding and `room` a row.

    A batch also ends where a row is so much shorter than the longest that padding would be more
    than an eighth of what attention sees; with all rows of a benchmark that seldom happens.

    head: tokens of each prompt that are computed already.
    """

    def __init__(self, questions: Sequence[Question], tokens: int, room: int, head: int = 0):
        self.waiting, self.tokens, self.room = list(questions), tokens, room
        self.head = head

    def __iter__(self) -> Iterator[list[Question]]:
        while self.waiting:
            rows = self._fitting()
            batch, self.waiting = self.waiting[:rows], self.waiting[rows:]
            yield batch

    def _fitting(self) -> int:
        longest, real = len(self.waiting[0].ids), 0
        for rows, question in enumerate(self.waiting, start=1):
            computed = rows * (longest - self.head)
            real += len(question.ids) - self.head
            too_many = rows * (longest + self.room) > self.tokens
            if rows > 1 and (too_many or computed - real > computed / 8):
                return rows - 1
        return len(self.waiting)

    def halve(self, batch: list[Question], reason: str) -> None:
        """Put a batch back and make all that follow half as large; UserError if it is one row."""
        if len(batch) == 1:
            raise UserError(f"{reason} on a single row of {len(batch[0].ids)} tokens")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.waiting = batch + self.waiting
        self.tokens = (len(batch[0].ids) + self.room) * (len(batch) // 2)
        print(f"{reason}; batches have at most {self.tokens} tokens from here on", flush=True)
