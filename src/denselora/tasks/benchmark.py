"""One benchmark: everything that tells it from another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from denselora.tasks.hub import Hub
from denselora.tasks.reading import (
    SECTION,
    all_words,
    answered,
    first_word,
    last_number,
)
from denselora.tasks.wording import SENTENCE, Wording, offered


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A test set and how its answers are read.

    name: its folder, which is also the name in options and records.
    label: the column head in tables.
    test_rows: rows of the test set.
    answers: the words that count as an answer, in their order; none if it is a number.
    chance: accuracy (fraction) of a uniform guess among a row's options.
    blob: git blob id of its test.json in LLM-Adapters; None if it isn't there.
    wording: how its rows are worded, for those that are made here.
    hub: its original dataset, from which `make data` can build the rows.
    note: what a reader of its results must know.
    """

    name: str
    label: str
    test_rows: int
    answers: tuple[str, ...]
    chance: float
    blob: str | None = None
    wording: Wording | None = None
    hub: Hub | None = None
    note: str = ""

    @property
    def is_published(self) -> bool:
        """Whether LLM-Adapters has its test set; another is scored where the data folder has it."""
        return self.blob is not None

    def test_file(self, folder: Path) -> Path:
        """Its test set in a data folder in the LLM-Adapters layout."""
        return folder / self.name / "test.json"

    def row(self, question: str, options: Sequence[str], gold: int) -> dict[str, str]:
        """A row that asks a question.

        options: in the order of the answer words; none if the question offers them itself.
        gold: index of the right answer. Raises ValueError or IndexError for one that isn't there.
        """
        if gold < 0:
            raise ValueError("the label is hidden")
        words = self.answers[: len(options)] if options else self.answers
        answer = words[gold]
        return {
            "instruction": self.wording.instruction(question, words, options),
            "input": "",
            "output": SENTENCE.format(answer),
            "answer": answer,
        }

    def options(self, instruction: str) -> tuple[str, ...]:
        """The answer words that a row offers; all of the benchmark's if it names none of them."""
        named = offered(instruction)
        return named if set(named) & set(self.answers) else self.answers

    def read(self, text: str, whole_word: bool = False) -> str | None:
        """The answer in a continuation of the prompt, or None: the first answer word, or the last
        number.

        whole_word: an answer word counts only with a border on both sides, and the answer ends
        where the model opens another section.
        """
        text = answered(text, whole_word)
        if not self.answers:
            return last_number(text)
        found = first_word(text, self.answers, whole_word)
        return found.group() if found else None

    def named(self, text: str, whole_word: bool = False) -> set[str]:
        """All the different answer words in a continuation; none if answers are numbers."""
        if not self.answers:
            return set()
        return all_words(answered(text, whole_word), self.answers, whole_word)

    def settled(self, text: str, whole_word: bool = False) -> bool:
        """Whether nothing that may follow a continuation can change what `read` takes from it.

        True with whole words once the first answer word has its border on the right, or another
        section has begun. Never for numbers, of which the last counts, nor without whole words,
        where a new "### Response:" would start over.
        """
        if not whole_word or not self.answers:
            return False
        section = SECTION.search(text)
        if section and section.end() < len(text):  # else a fourth # may follow
            return True
        text = text.rstrip("\N{REPLACEMENT CHARACTER}")  # half a character may become a letter
        found = first_word(text, self.answers, whole_word)
        return found is not None and found.end() < len(text)

    def can_be_gold(self, answer: str) -> bool:
        """Whether a model could be right at all: an answer word, or a number."""
        if self.answers:
            return answer in self.answers
        try:
            return math.isfinite(float(answer))
        except ValueError:
            return False

    def is_right(self, parsed: str | None, gold: str) -> bool:
        """Whether what was read is the gold answer: words letter for letter, numbers within 0.001
        as in LLM-Adapters' evaluate.py.
        """
        if self.answers:
            return parsed == gold
        return parsed is not None and abs(float(parsed) - float(gold)) <= 0.001


def numbered(word: str, n: int) -> tuple[str, ...]:
    """word1 to wordn."""
    return tuple(f"{word}{i}" for i in range(1, n + 1))
