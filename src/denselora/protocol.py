"""A protocol: prompt strings, loss mask, loss reduction, cut-off, decoding and extraction, named.

configs/protocol has them: the paper's and a clean one, for each suite. The name, version and a hash
of the content go into every record, so that numbers made under different rules are never mixed
unseen.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from string import Formatter
from typing import Annotated, Any, Literal

from denselora.command_line.fields import Count, Flag, Name, Text, Whole, options
from denselora.command_line.options import checked

LossReduction = Literal["micro_batch_mean", "token_mean"]
Overlong = Literal["cut", "drop"]


@dataclass(frozen=True)
class Template(Text):
    """A prompt with {instruction} and {input}; in training, {output} at its end."""

    end: str = ""

    def read(self, value: Any) -> str:
        text = super().read(value)
        try:
            fields = [name for _, name, *_ in Formatter().parse(text) if name is not None]
        except ValueError:
            fields = []
        ends = text.endswith(self.end) and fields.count("output") == bool(self.end)
        if not ends or not {"instruction"} <= set(fields) <= {"instruction", "input", "output"}:
            end = f", and {self.end} at its end" if self.end else ""
            raise ValueError(f"its fields have to be {{instruction}} and {{input}}{end}; fix it")
        return text


Training = Annotated[str, Template(end="{output}")]
Evaluation = Annotated[str, Template()]


@options(kw_only=False)
class Prompt:
    """Template strings with the fields {instruction}, {input} and, in training, {output}."""

    train: Training
    train_with_input: Training
    evaluate: Evaluation
    evaluate_with_input: Evaluation


@options(kw_only=False)
class Decoding:
    """Deterministic decoding: beams (1 = greedy) and the most tokens to make."""

    num_beams: Annotated[int, Whole(1, 64)]
    max_new_tokens: Count


@options
class Protocol:
    """Everything that decides a number besides model, adapter, data and seed.

    train_on_prompt: loss on prompt and answer, or on the answer alone.
    loss_reduction: "micro_batch_mean" averages the micro-batches' token means, "token_mean"
        averages over all tokens of the global batch.
    cutoff: tokens of a training row, EOS included if it fits.
    overlong: "cut" ends a longer row at the cut-off, "drop" takes no loss from it.
    whole_word_answers: an answer word counts only with a border on both sides, and what is read
        ends at the first "###" of the continuation; else it begins after its last "### Response:".
    """

    name: Name
    version: Count
    prompt: Prompt
    train_on_prompt: Flag
    loss_reduction: LossReduction
    cutoff: Count
    overlong: Overlong
    decoding: Decoding
    whole_word_answers: Flag

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Protocol":
        """Build from the resolved `protocol` group; UserError on an unknown or impossible value."""
        return checked(cls, config, "protocol")

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any field."""
        content = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def identity(self) -> dict[str, Any]:
        """What a record keeps of the protocol."""
        return {"name": self.name, "version": self.version, "hash": self.hash}

    def training_text(self, row: dict[str, str]) -> tuple[str, str]:
        """The prompt and the answer of a training row, whose concatenation is the row's text."""
        template = self.prompt.train_with_input if row["input"] else self.prompt.train
        prompt = template.removesuffix("{output}")
        return prompt.format(instruction=row["instruction"], input=row["input"]), row["output"]

    def evaluation_prompt(self, row: dict[str, str]) -> str:
        """The text that the model is asked to continue."""
        template = self.prompt.evaluate_with_input if row["input"] else self.prompt.evaluate
        return template.format(instruction=row["instruction"], input=row["input"])
