"""Global batches, cut into forward passes."""

from collections.abc import Sequence
from dataclasses import dataclass

from denselora.data.batch import Batch, counted, pack
from denselora.data.dataset import TrainingSet
from denselora.data.order import Schedule
from denselora.training.loss import row_weights


@dataclass(frozen=True)
class GlobalBatch:
    """One process's part of an optimizer step.

    passes: its forward passes. tokens: over all processes.
    """

    passes: list[Batch]
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The global batches of a run, for one of its processes.

    schedule: the rows of each step. reduction, micro_batch_size: see `loss.row_weights`. The rows
    of a global batch are spread over passes by their lengths alone: their weights keep the
    protocol's loss as it is.
    """

    rows: TrainingSet
    schedule: Schedule
    reduction: str
    micro_batch_size: int
    processes: int = 1
    process: int = 0

    def at(self, step: int, pass_tokens: int) -> GlobalBatch:
        """The global batch of a step (from 0) in passes of so many tokens at most."""
        rows = [self.rows[number] for number in self.schedule[step]]
        weights = row_weights([counted(row) for row in rows], self.reduction, self.micro_batch_size)
        lengths = [len(row["input_ids"]) for row in rows]
        mine = spread(lengths, pass_tokens, self.processes)[self.process :: self.processes]
        return GlobalBatch(
            passes=[pack([rows[at] for at in part], [weights[at] for at in part]) for part in mine],
            tokens=sum(lengths),
        )


def spread(lengths: Sequence[int], most: int, processes: int = 1) -> list[list[int]]:
    """Spread rows over passes of about equally many tokens; the places of each pass's rows.

    There are as few passes as keep each within `most` tokens, but for a row that is longer, and
    equally many for each process. Rows are placed from the longest down, each in the pass that has
    the fewest tokens so far.
    """
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    rounds = -(-sum(lengths) // (most * processes))
    count = processes * max(1, min(rounds, len(lengths) // processes))
    while True:
        passes: list[list[int]] = [[] for _ in range(count)]
        tokens = [0] * count
        for at in order:
            least = tokens.index(min(tokens))
            passes[least].append(at)
            tokens[least] += lengths[at]
        fits = all(n <= most or len(part) == 1 for n, part in zip(tokens, passes, strict=True))
        if fits or count + processes > len(lengths):
            return passes
        count += processes


def validation_batches(rows: TrainingSet, pass_tokens: int) -> list[Batch]:
    """The held-out rows, each weighted so that the sum is the token mean."""
    held_out = [rows[number] for number in rows.numbers]
    weight = 1 / max(1, sum(map(counted, held_out)))
    parts = spread([len(row["input_ids"]) for row in held_out], pass_tokens)
    return [pack([held_out[at] for at in part], [weight] * len(part)) for part in parts]
