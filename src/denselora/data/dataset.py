"""Training rows as token ids and labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from denselora.errors import UserError
from denselora.protocol import Protocol

IGNORED = -100  # the label that torch's cross-entropy leaves out


def encode(
    rows: dict[str, list[str]], tokenizer: PreTrainedTokenizerBase, protocol: Protocol
) -> dict[str, list]:
    """Token ids and labels of training rows (columns of equal length), as in the authors'
    finetune.py.

    A row's whole text is tokenised at once and cut at the protocol's cut-off; EOS is appended when
    the row is shorter than the cut-off. Without `train_on_prompt`, prompt and answer are tokenised
    apart, so that the answer's first token is the one that decoding after the prompt makes, and the
    prompt's labels are ignored. With `overlong: drop` a longer row keeps its place in its batch and
    carries no loss.

    Returns input_ids and labels (equal length, at most the cut-off) and `overlong` for each row.
    """
    texts = [
        protocol.training_text({"instruction": instruction, "input": given, "output": output})
        for instruction, given, output in zip(
            rows["instruction"], rows["input"], rows["output"], strict=True
        )
    ]
    prompts, answers = map(list, zip(*texts, strict=True))
    if protocol.train_on_prompt:
        ids = tokenizer([prompt + answer for prompt, answer in texts])["input_ids"]
        masked = [0] * len(ids)
    else:
        heads = tokenizer(prompts)["input_ids"]
        tails = tokenizer(answers, add_special_tokens=False)["input_ids"]
        ids = [head + tail for head, tail in zip(heads, tails, strict=True)]
        masked = [len(head) for head in heads]
    overlong = [len(row) > protocol.cutoff for row in ids]
    ids = [_ended(row[: protocol.cutoff], tokenizer.eos_token_id, protocol.cutoff) for row in ids]
    if protocol.overlong == "drop":
        masked = [protocol.cutoff if long else n for n, long in zip(masked, overlong, strict=True)]
    labels = [[IGNORED] * min(n, len(row)) + row[n:] for n, row in zip(masked, ids, strict=True)]
    return {"input_ids": ids, "labels": labels, "overlong": overlong}


def _ended(ids: list[int], eos: int, cutoff: int) -> list[int]:
    return [*ids, eos] if len(ids) < cutoff and ids[-1] != eos else ids


@dataclass(frozen=True)
class TrainingSet:
    """Tokenised rows by their number in the file.

    Only the rows that a run will use are tokenised, so that a short run starts at once.
    overlong: how many are longer than the cut-off.
    """

    encoded: Dataset
    place: dict[int, int]
    overlong: int

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        """input_ids and labels of the row with that number."""
        return self.encoded[self.place[number]]


def tokenise(
    rows: Dataset,
    numbers: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    protocol: Protocol,
    source: str,
) -> TrainingSet:
    """Encode the rows with these numbers.

    Raises UserError naming `source` if no token of them carries loss.
    """
    encoded = rows.select(numbers).map(
        encode,
        batched=True,
        fn_kwargs={"tokenizer": tokenizer, "protocol": protocol},
        remove_columns=rows.column_names,
        desc="tokenising",
    )
    overlong = sum(encoded["overlong"])
    if protocol.overlong == "drop" and overlong == len(encoded):
        raise UserError(
            f"{source}: every row is longer than protocol.cutoff={protocol.cutoff}; raise it"
        )
    place = {number: place for place, number in enumerate(numbers)}
    return TrainingSet(encoded.remove_columns("overlong"), place, overlong)


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
