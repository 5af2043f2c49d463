"""One benchmark and the reading of its answers."""

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """A test set in the LLM-Adapters layout, `<folder>/test.json`.

    name: the folder, which is also the name in options and records.
    label: the column head in tables.
    test_rows: rows of the published test set.
    answers: the words that count as an answer, in the authors' order; none if it is a number.
    chance: accuracy (fraction) of a uniform guess among a row's options.
    note: what a reader of its results must know.
    """

    name: str
    label: str
    test_rows: int
    answers: tuple[str, ...]
    chance: float
    note: str = ""

    def read(self, text: str, whole_word: bool = False) -> str | None:
        """The answer in a model's output, or None.

        whole_word: an answer word counts only with a border on both sides.
        """
        if self.answers:
            return extract_answer(text, self.answers, whole_word)
        return extract_number(text)

    def named(self, text: str, whole_word: bool = False) -> set[str]:
        """All the different answer words in a model's output; none if answers are numbers."""
        if not self.answers:
            return set()
        return set(re.findall(answer_pattern(self.answers, whole_word), _response(text)))

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


def extract_answer(text: str, answers: tuple[str, ...], whole_word: bool = False) -> str | None:
    """The first answer word in a model's output, or None.

    Reads what follows the last "### Response:", stripped, case-sensitively, as the authors'
    commonsense_evaluate.py does. `whole_word` asks for a border on both sides (protocol `clean`);
    without it "falsehood" counts as "false", as in the authors' script.
    """
    found = re.search(answer_pattern(answers, whole_word), _response(text))
    return found.group() if found else None


def answer_pattern(answers: tuple[str, ...], whole_word: bool) -> str:
    """A regular expression for any of the answer words."""
    pattern = "|".join(re.escape(word) for word in answers)
    return rf"\b(?:{pattern})\b" if whole_word else pattern


def extract_number(text: str) -> str | None:
    """The last number in a model's output, thousands' commas removed, or None.

    As LLM-Adapters' evaluate.py reads it: "1,234" is 1234, "3-2" ends in -2, "1/2" in 2.
    """
    numbers = re.findall(r"-?\d+\.?\d*", _response(text).replace(",", ""))
    return numbers[-1] if numbers else None


def _response(text: str) -> str:
    return text.rsplit("### Response:", 1)[-1].strip()
