"""scoring=texts: the options' own texts are ranked, as if nothing had been fine-tuned.

What a base knows shows here before it has learnt any answer format. The question stands alone and
each option after it; log-likelihoods are divided by the text's bytes, as lm-evaluation-harness's
acc_norm does. An analysis: its accuracies are no row beside those of the protocol's prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from denselora.errors import UserError
from denselora.evaluation.scoring.choice import Choice, ChoiceQuestion
from denselora.tasks import Benchmark


@dataclass(frozen=True)
class TextQuestion(ChoiceQuestion):
    """sizes: of each option's text, in bytes."""

    sizes: list[int]


class Texts(Choice):
    """Takes the option whose text is the likeliest, per byte, after the question."""

    name = "texts"
    room = 256  # of four endings of HellaSwag, few have more

    @classmethod
    def unfit(cls, benchmark: Benchmark) -> str | None:
        if benchmark.wording and benchmark.wording.plain:
            return None
        return f"{benchmark.name} has no texts of options to compare; leave it out of tasks"

    def questions(self, rows: Dataset) -> list[TextQuestion]:
        """Raises UserError for a row that isn't worded as its benchmark words them."""
        wording, name = self.benchmark.wording, self.benchmark.name
        words, parts = [], []
        for number, row in enumerate(rows):
            words.append(self.benchmark.options(row["instruction"]))
            try:
                parts.append(wording.parts(row["instruction"], words[-1]))
            except ValueError as error:
                raise UserError(f"scoring={self.name}: {name} row {number} {error}") from None
        plain = [wording.plain.format(question=question.strip()) for question, _ in parts]
        tokenizer, protocol = self.respondent.tokenizer, self.respondent.protocol
        asked = tokenizer(plain)["input_ids"]
        texts = [[f" {option.strip()}" for option in options] for _, options in parts]
        tails = [tokenizer(each, add_special_tokens=False)["input_ids"] for each in texts]
        return [
            TextQuestion(
                number=number,
                prompt=protocol.evaluation_prompt(rows[number]),  # by which rows are told apart
                gold=rows[number]["answer"],
                ids=asked[number],
                words=words[number],
                tails=tails[number],
                sizes=[len(text.encode()) for text in texts[number]],
            )
            for number in range(len(plain))
        ]

    def compared(self, question: TextQuestion, nats: Sequence[float]) -> list[float]:
        return [each / size for each, size in zip(nats, question.sizes, strict=True)]
