"""How an answer is read from what a model wrote; needs neither torch nor the model."""

import re
from collections.abc import Sequence

# opens a section of the prompt, and what a model makes up after its answer; in GSM8K's own answers
# four of these signs come before the number
SECTION = re.compile(r"(?<!#)###(?!#)")
RESPONSE = "### Response:"


def answered(text: str, whole_word: bool) -> str:
    """The part of a continuation that is read.

    With whole words (protocol `clean`) it ends where the model opens another section. Else it is
    what follows the last "### Response:", also one that the model wrote itself, as in the authors'
    script.
    """
    if whole_word:
        return SECTION.split(text, 1)[0].strip()
    return text.rsplit(RESPONSE, 1)[-1].strip()


def first_word(text: str, words: Sequence[str], whole_word: bool) -> re.Match | None:
    """The first answer word in a text, case-sensitively, as commonsense_evaluate.py searches.

    whole_word: only one with a border on both sides. Without it "falsehood" counts as "false", as
    in the authors' script.
    """
    return re.search(_any_of(words, whole_word), text)


def all_words(text: str, words: Sequence[str], whole_word: bool) -> set[str]:
    """All the different answer words in a text."""
    return set(re.findall(_any_of(words, whole_word), text))


def last_number(text: str) -> str | None:
    """The last number in a text, thousands' commas removed, or None.

    As LLM-Adapters' evaluate.py reads it: "1,234" is 1234, "3-2" ends in -2, "1/2" in 2.
    """
    numbers = re.findall(r"-?\d+\.?\d*", text.replace(",", ""))
    return numbers[-1] if numbers else None


def _any_of(words: Sequence[str], whole_word: bool) -> str:
    pattern = "|".join(re.escape(word) for word in words)
    return rf"\b(?:{pattern})\b" if whole_word else pattern
