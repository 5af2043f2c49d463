"""A protocol: prompt strings, loss mask, loss reduction, cut-off, decoding and extraction, named.

Two exist, configs/protocol/paper.yaml and clean.yaml. The name, version and a hash of the content
go into every record, so that numbers made under different rules are never mixed unseen.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from denselora.errors import UserError

LossReduction = Literal["micro_batch_mean", "token_mean"]
Overlong = Literal["cut", "drop"]


@dataclass(frozen=True)
class Prompt:
    """Template strings with the fields {instruction}, {input} and, in training, {output}."""

    train: str
    train_with_input: str
    evaluate: str
    evaluate_with_input: str


@dataclass(frozen=True)
class Decoding:
    """Deterministic decoding: beams (1 = greedy) and the most tokens to make."""

    num_beams: int
    max_new_tokens: int


@dataclass(frozen=True)
class Protocol:
    """Everything that decides a number besides model, adapter, data and seed.

    train_on_prompt: loss on prompt and answer, or on the answer alone.
    loss_reduction: "micro_batch_mean" averages the micro-batches' token means, "token_mean"
        averages over all tokens of the global batch.
    cutoff: tokens of a training row, EOS included if it fits.
    overlong: "cut" ends a longer row at the cut-off, "drop" takes no loss from it.
    whole_word_answers: an answer word counts only with a border on both sides.
    """

    name: str
    version: int
    prompt: Prompt
    train_on_prompt: bool
    loss_reduction: LossReduction
    cutoff: int
    overlong: Overlong
    decoding: Decoding
    whole_word_answers: bool

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Protocol":
        """Build from the resolved `protocol` config group; UserError on an impossible value."""
        try:
            protocol = cls(
                **{
                    **config,
                    "prompt": Prompt(**config["prompt"]),
                    "decoding": Decoding(**config["decoding"]),
                }
            )
        except (TypeError, KeyError) as error:
            raise UserError(
                f"protocol: {error}; compare with configs/protocol/paper.yaml"
            ) from None
        for field, allowed in (
            ("loss_reduction", get_args(LossReduction)),
            ("overlong", get_args(Overlong)),
        ):
            value = getattr(protocol, field)
            if value not in allowed:
                raise UserError(f"protocol.{field}={value!r}: use one of {', '.join(allowed)}")
        for field, value in (
            ("cutoff", protocol.cutoff),
            ("decoding.num_beams", protocol.decoding.num_beams),
            ("decoding.max_new_tokens", protocol.decoding.max_new_tokens),
        ):
            if not isinstance(value, int) or value < 1:
                raise UserError(f"protocol.{field}={value!r}: give a whole number above 0")
        return protocol

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
        prompt, _ = template.split("{output}")
        return prompt.format(instruction=row["instruction"], input=row["input"]), row["output"]

    def evaluation_prompt(self, row: dict[str, str]) -> str:
        """The text that the model is asked to continue."""
        template = self.prompt.evaluate_with_input if row["input"] else self.prompt.evaluate
        return template.format(instruction=row["instruction"], input=row["input"])
