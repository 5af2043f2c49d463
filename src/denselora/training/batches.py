"""Global batches, cut into forward passes."""

from dataclasses import dataclass

from denselora.data.dataset import Batch, TrainingSet, collate, padded_length
from denselora.data.order import Schedule
from denselora.training.loss import counted, row_weights


@dataclass(frozen=True)
class GlobalBatch:
    """One process's part of an optimizer step.

    passes: its forward passes. tokens, padded_tokens: real tokens and all columns, over all
    processes.
    """

    passes: list[Batch]
    tokens: int
    padded_tokens: int


@dataclass(frozen=True)
class Batches:
    """The global batches of a run, for one of its processes.

    Within a global batch the rows are sorted by length before they are cut into passes: the row
    weights keep the protocol's loss as it is, and less is padding.
    """

    rows: TrainingSet
    schedule: Schedule
    reduction: str
    micro_batch_size: int
    processes: int
    process: int

    def at(self, step: int, rows_per_pass: int) -> GlobalBatch:
        """The global batch of a step (from 0) in passes of so many rows."""
        rows = [self.rows[number] for number in self.schedule[step]]
        weights = row_weights([counted(row) for row in rows], self.reduction, self.micro_batch_size)
        weighted = sorted(zip(rows, weights, strict=True), key=lambda pair: _length(pair[0]))
        cuts = [weighted[i : i + rows_per_pass] for i in range(0, len(weighted), rows_per_pass)]
        return GlobalBatch(
            passes=[
                collate([row for row, _ in cut], pad_id=0, weights=[weight for _, weight in cut])
                for cut in cuts[self.process :: self.processes]
            ],
            tokens=sum(map(_length, rows)),
            padded_tokens=sum(len(cut) * padded_length(_length(cut[-1][0])) for cut in cuts),
        )


def validation_batches(rows: TrainingSet, rows_per_pass: int) -> list[Batch]:
    """The held-out rows, sorted by length, each weighted so that the sum is the token mean."""
    ordered = sorted((rows[number] for number in rows.numbers), key=_length)
    weight = 1 / max(1, sum(map(counted, ordered)))
    cuts = [ordered[i : i + rows_per_pass] for i in range(0, len(ordered), rows_per_pass)]
    return [collate(cut, pad_id=0, weights=[weight] * len(cut)) for cut in cuts]


def _length(row: dict) -> int:
    return len(row["input_ids"])
