"""Training rows as token ids and labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from denselora.errors import UserError
from denselora.protocol import Protocol

IGNORED = -100  # the label that torch's cross-entropy leaves out


def encode_row(
    row: dict[str, str], tokenizer: PreTrainedTokenizerBase, protocol: Protocol
) -> dict[str, list[int] | bool]:
    """Token ids and labels of one training row, as the authors' finetune.py makes them.

    The whole text is tokenised at once and cut at the protocol's cut-off; EOS is appended when the
    row is shorter than the cut-off. Without `train_on_prompt`, prompt and answer are tokenised
    apart, so that the answer's first token is the one that decoding after the prompt makes, and the
    prompt's labels are ignored.

    Returns input_ids, labels (equal length, at most the cut-off) and `overlong`.
    """
    prompt, answer = protocol.training_text(row)
    if protocol.train_on_prompt:
        ids = tokenizer(prompt + answer)["input_ids"]
        prompt_length = 0
    else:
        ids = tokenizer(prompt)["input_ids"]
        prompt_length = len(ids)
        ids = ids + tokenizer(answer, add_special_tokens=False)["input_ids"]
    if ids[-1] != tokenizer.eos_token_id and len(ids) < protocol.cutoff:
        ids = [*ids, tokenizer.eos_token_id]
        overlong = False
    else:
        overlong = len(ids) > protocol.cutoff
    ids = ids[: protocol.cutoff]
    labels = [IGNORED] * min(prompt_length, len(ids)) + ids[prompt_length:]
    return {"input_ids": ids, "labels": labels, "overlong": overlong}


@dataclass(frozen=True)
class TrainingSet:
    """Tokenised rows, held as the `datasets` library holds them (memory-mapped when cached)."""

    rows: Dataset
    overlong: int
    dropped: int

    def __len__(self) -> int:
        return len(self.rows)


def tokenise(
    rows: Dataset, tokenizer: PreTrainedTokenizerBase, protocol: Protocol, source: str
) -> TrainingSet:
    """Encode all rows; `overlong: drop` leaves out those longer than the cut-off.

    Raises UserError naming `source` if nothing is left.
    """
    encoded = rows.map(
        encode_row,
        fn_kwargs={"tokenizer": tokenizer, "protocol": protocol},
        remove_columns=rows.column_names,
        desc="tokenising",
    )
    overlong = sum(encoded["overlong"])
    dropped = 0
    if protocol.overlong == "drop" and overlong:
        encoded = encoded.filter(lambda overlong: not overlong, input_columns="overlong")
        dropped = overlong
    if not len(encoded):
        raise UserError(
            f"{source}: every row is longer than protocol.cutoff={protocol.cutoff}; raise it"
        )
    return TrainingSet(encoded.remove_columns("overlong"), overlong, dropped)


def collate(
    rows: Sequence[dict[str, list[int]]], pad_id: int, multiple: int = 8
) -> dict[str, torch.Tensor]:
    """Pad on the left to a multiple of 8, as the authors' collator does.

    Returns input_ids, attention_mask, labels and position_ids, each [rows, tokens], int64.
    Padding gets the pad id, mask 0 and the ignored label.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    length = -(-longest // multiple) * multiple

    def padded(values: list[int], fill: int) -> list[int]:
        return [fill] * (length - len(values)) + list(values)

    ids = torch.tensor([padded(row["input_ids"], pad_id) for row in rows])
    mask = torch.tensor([padded([1] * len(row["input_ids"]), 0) for row in rows])
    labels = torch.tensor([padded(row["labels"], IGNORED) for row in rows])
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "position_ids": positions,
    }
