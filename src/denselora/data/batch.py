"""Rows of one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

IGNORED = -100  # the label that torch's cross-entropy leaves out


def counted(row: dict[str, Sequence[int]]) -> int:
    """Tokens of a row that carry loss: labelled ones with a token before them."""
    return int((np.asarray(row["labels"])[1:] != IGNORED).sum())


@dataclass(frozen=True)
class Batch:
    """Rows of one forward pass, end to end without padding.

    input_ids, position_ids: [1, tokens], int64; positions start at 0 in each row.
    starts: [rows + 1], int32; the column where each row starts, and the end.
    lengths: tokens of each row.
    columns: [counted], int64; the columns that predict a token with loss.
    labels: [counted], int64; the tokens they predict.
    weights: [counted], fp32; what each one's loss counts for.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    starts: torch.Tensor
    lengths: tuple[int, ...]
    columns: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor

    @property
    def tokens(self) -> int:
        return self.input_ids.shape[1]

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on a device."""
        tensors = {n: v.to(device) for n, v in vars(self).items() if isinstance(v, torch.Tensor)}
        return replace(self, **tensors)

    def halves(self) -> tuple["Batch", "Batch"]:
        """The first half of the rows and the other ones. There must be two at least."""
        rows = len(self.lengths) // 2
        at = int(self.starts[rows])
        before = self.columns < at
        return (
            Batch(
                self.input_ids[:, :at],
                self.position_ids[:, :at],
                self.starts[: rows + 1],
                self.lengths[:rows],
                self.columns[before],
                self.labels[before],
                self.weights[before],
            ),
            Batch(
                self.input_ids[:, at:],
                self.position_ids[:, at:],
                self.starts[rows:] - at,
                self.lengths[rows:],
                self.columns[~before] - at,
                self.labels[~before],
                self.weights[~before],
            ),
        )

    def padded(self, tokens: int) -> "Batch":
        """The same batch with a last row of zeros that carries no loss, to so many tokens."""
        more = tokens - self.tokens
        if not more:
            return self
        zeros = self.input_ids.new_zeros(1, more)
        return replace(
            self,
            input_ids=torch.cat([self.input_ids, zeros], dim=1),
            position_ids=torch.cat([self.position_ids, zeros], dim=1),
            starts=torch.cat([self.starts, self.starts.new_tensor([tokens])]),
            lengths=(*self.lengths, more),
        )


def pack(rows: Sequence[dict[str, Sequence[int]]], weights: Sequence[float]) -> Batch:
    """The rows as a `Batch`. weights: what each row's summed loss counts for."""
    lengths = [len(row["input_ids"]) for row in rows]
    starts = np.cumsum([0, *lengths])
    labels = np.concatenate([row["labels"] for row in rows], dtype=np.int64)
    # no token of its row stands before the first to predict it
    labels[starts[:-1]] = IGNORED
    counted = np.flatnonzero(labels != IGNORED)
    ids = np.concatenate([row["input_ids"] for row in rows], dtype=np.int64)
    return Batch(
        input_ids=torch.from_numpy(ids)[None],
        position_ids=torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))[None],
        starts=torch.from_numpy(starts.astype(np.int32)),
        lengths=tuple(lengths),
        columns=torch.from_numpy(counted - 1),
        labels=torch.from_numpy(labels[counted]),
        weights=torch.from_numpy(np.repeat(np.float32(weights), lengths)[counted]),
    )
