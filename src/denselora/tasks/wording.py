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
    plain: the question without any options, for what is compared then is their texts; None where
        they aren't answers by themselves.
    """

    ask: str
    between: str = " "
    after: str = "\n\n"
    plain: str | None = "Question: {question}\nAnswer:"

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

    def parts(self, instruction: str, words: Sequence[str]) -> tuple[str, list[str]]:
        """Question and options of an instruction that `instruction` made.

        Raises ValueError for one that it didn't make.
        """
        before, behind = self.ask.split("{question}")
        end = f"{self.after}{FORMAT}{'/'.join(words)}"
        text = instruction.removeprefix(before).removesuffix(end)
        options, heads = [], [f"{self.between}{word.capitalize()}: " for word in words]
        heads[0] = f"\n\n{words[0].capitalize()}: "
        for head in reversed(heads):
            text, found, option = text.rpartition(head)
            if not found:
                raise ValueError("isn't worded as the published files are")
            options.insert(0, option)
        question = text.removesuffix(behind)
        if self.instruction(question, words, options) != instruction:
            raise ValueError("isn't worded as the published files are")
        return question, options
