"""How a question and its answer are worded in a row, as LLM-Adapters' files word them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

SENTENCE = "the correct answer is {}"  # a row's output
FORMAT = "Answer format: "  # opens the end of an instruction, which names the answer words: a/b/c


def offered(instruction: str) -> tuple[str, ...]:
    """The answer words that an instruction names at its end; none where it names none."""
    line = re.search(rf"{FORMAT.rstrip()} *(\S+)\s*$", instruction)
    return tuple(line.group(1).split("/")) if line else ()


@dataclass(frozen=True)
class Wording:
    """A benchmark's instruction around a question.

    ask: with {question} in it. between, after: what stands between two options and after the last.
    """

    ask: str
    between: str = " "
    after: str = "\n\n"

    def instruction(self, question: str, words: Sequence[str], options: Sequence[str]) -> str:
        """The instruction with its options, one for each answer word, or with none to list.

        Raises ValueError for another number of options.
        """
        text = self.ask.format(question=question)
        if options:
            named = zip(words, options, strict=True)
            listed = self.between.join(f"{word.capitalize()}: {option}" for word, option in named)
            text = f"{text}\n\n{listed}"
        return f"{text}{self.after}{FORMAT}{'/'.join(words)}"
