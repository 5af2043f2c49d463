"""Forgetting: the loss on a text that has nothing to do with the task, before and after training.

A text is read as documents with blank lines between them, or from a JSON file that says which parts
of each document count. The plain base reads it before any adapter is put on, and the adapted model
after, in the same pieces.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from denselora.errors import UserError
from denselora.evaluation.share import share
from denselora.readers import read_json, read_text
from denselora.results.record import NeutralText

# the text of a data folder, taken where no other is named
FILE = "neutral.json"
PIECE = 512  # tokens that are read together at most
LOGITS_AT_ONCE = 2**27
DIGITS = 12
FIX = "give a text file, documents with blank lines between them"
JSON_FIX = "give a list of documents, each a list of pairs of texts: what is given, what counts"

# pairs of what is given and what is counted after it
Document = list[tuple[str, str]]


@dataclass(frozen=True)
class Piece:
    """Tokens that are read together. counted: of each, whether its loss is."""

    ids: list[int]
    counted: list[bool]


@dataclass(frozen=True)
class Text:
    """documents: none without a word that counts."""

    file: Path
    documents: list[Document]

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.documents).encode()).hexdigest()[:DIGITS]

    def record(self, before: "Loss", after: "Loss") -> NeutralText:
        """The figures of one subject. before: the plain base's."""
        return NeutralText(
            file=self.file.name,
            hash=self.hash,
            tokens=after.tokens,
            base_loss_nats=before.nats,
            loss_nats=after.nats,
        )


@dataclass(frozen=True)
class Loss:
    """nats: per token, None if it isn't finite. tokens: how many were predicted."""

    nats: float | None
    tokens: int


def find_text(named: str | None, data: str, limit: int | None) -> Text | None:
    """The text that is named, or what lies in the data's folder; None without any. limit: of the
    documents.

    Raises UserError for a file that can't be read or counts no two words of any document.
    """
    file = Path(named or Path(data) / FILE)
    if not named and not file.exists():
        return None
    documents = _pairs(file) if file.suffix == ".json" else _paragraphs(file)
    documents = [pairs for pairs in documents if any(counted.strip() for _, counted in pairs)]
    if not any(len("".join(map("".join, pairs)).split()) > 1 for pairs in documents):
        raise UserError(f"{file}: no document of several words; {FIX}")
    return Text(file, documents[:limit])


def _paragraphs(file: Path) -> list[Document]:
    parts = re.split(r"\r?\n[ \t]*\r?\n", read_text(file, FIX))
    return [[("", part.strip())] for part in parts]


def _pairs(file: Path) -> list[Document]:
    documents = read_json(file, JSON_FIX, list)
    for number, document in enumerate(documents, start=1):
        pairs = document if isinstance(document, list) and document else [None]
        if not all(isinstance(pair, list) and list(map(type, pair)) == [str] * 2 for pair in pairs):
            raise UserError(f"{file}: document {number} is no list of pairs of texts; {JSON_FIX}")
    return [[(given, counted) for given, counted in document] for document in documents]


def pieces(text: Text, tokenizer: PreTrainedTokenizerBase, size: int) -> list[Piece]:
    """At most `size` tokens each: the documents, cut where they are longer. Each begins as the
    tokenizer begins a text (BOS), if it does; its first token is never counted."""
    start = tokenizer("a")["input_ids"]
    start = start[:1] if start[:1] == [tokenizer.bos_token_id] else []
    room, cut = size - len(start), []
    parts = [part for document in text.documents for pair in document for part in pair]
    encoded = iter(tokenizer(parts, add_special_tokens=False)["input_ids"])
    for document in text.documents:
        ids, counted = [], []
        for _ in document:
            given, read = next(encoded), next(encoded)
            ids += given + read
            counted += [False] * len(given) + [True] * len(read)
        for at in range(0, len(ids), room):
            piece = start + ids[at : at + room]
            cut.append(Piece(piece, [False] * len(start) + counted[at : at + room]))
    return [piece for piece in cut if any(piece.counted[1:])]


@torch.no_grad()
def loss(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, text: Text, positions: int | None
) -> Loss:
    """Mean over the tokens that count of their cross-entropy given those before.

    model: in evaluation mode, of logits [rows, tokens, vocabulary]. positions: tokens that it was
    made for, if it says so. Each process reads its share.
    """
    size = min(PIECE, positions or PIECE)
    cut = sorted(pieces(text, tokenizer, size), key=lambda piece: len(piece.ids), reverse=True)
    mine = share(cut)
    rows = max(1, LOGITS_AT_ONCE // (size * len(tokenizer)))
    total, tokens = 0.0, 0
    hidden = not PartialState().is_main_process
    for at in tqdm(
        range(0, len(mine), rows), desc=text.file.name, unit="batch", leave=False, disable=hidden
    ):
        batch = mine[at : at + rows]
        ids, there, counted = (
            pad_sequence(list(map(torch.tensor, rows_of)), batch_first=True).to(model.device)
            for rows_of in zip(
                *((one.ids, [1] * len(one.ids), one.counted) for one in batch), strict=True
            )
        )
        logits = model(input_ids=ids, attention_mask=there, use_cache=False).logits
        read = counted[:, 1:]
        of_each = F.cross_entropy(logits[:, :-1][read].float(), ids[:, 1:][read], reduction="none")
        total += of_each.double().sum().item()
        tokens += int(read.sum())
    sums = gather_object([(total, tokens)])
    total, tokens = sum(nats for nats, _ in sums), sum(count for _, count in sums)
    nats = total / max(1, tokens)
    return Loss(nats if math.isfinite(nats) and tokens else None, tokens)
