"""One benchmark and the reading of its answers."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """A test set in the LLM-Adapters layout, `<folder>/test.json`.

    name: the folder, which is also the name in options and records.
    label: the column head in tables.
    test_rows: rows of the published test set.
    answers: the words that count as an answer, in the authors' order.
    chance: accuracy (fraction) of a uniform guess among a row's options.
    """

    name: str
    label: str
    test_rows: int
    answers: tuple[str, ...]
    chance: float


def extract_answer(text: str, answers: tuple[str, ...], whole_word: bool = False) -> str | None:
    """The first answer word in a model's output, or None.

    Reads what follows the last "### Response:", stripped, case-sensitively, as the authors'
    commonsense_evaluate.py does. `whole_word` asks for a border on both sides (protocol `clean`);
    without it "falsehood" counts as "false", as in the authors' script.
    """
    response = text.rsplit("### Response:", 1)[-1].strip()
    pattern = "|".join(re.escape(word) for word in answers)
    found = re.search(rf"\b(?:{pattern})\b" if whole_word else pattern, response)
    return found.group() if found else None
