"""The order of rows, decided by (seed, epoch) and nothing else.

Sorting by a hash uses no random generator, so the order can't depend on what else drew random
numbers, nor on the version of Python, numpy or torch.
"""

from collections.abc import Sequence
from hashlib import sha256


def shuffled(n: int, seed: int, stream: str | int) -> list[int]:
    """The numbers 0..n-1 in an order fixed by the seed and the stream's name."""
    return sorted(range(n), key=lambda i: sha256(f"{seed}/{stream}/{i}".encode()).digest())


class Schedule:
    """Which rows make up each global batch: the epochs' orders laid end to end.

    Batches run across the border of epochs, so each has exactly `batch` rows; at most batch-1 rows
    at the very end of the run go unused.

    numbers: the training rows. seed: the data seed. batch: rows per optimizer step.
    """

    def __init__(self, numbers: Sequence[int], seed: int, batch: int):
        self.numbers, self.seed, self.batch = numbers, seed, batch
        self._orders: dict[int, list[int]] = {}

    def __getitem__(self, step: int) -> list[int]:
        """Row numbers of the step (from 0)."""
        start = step * self.batch
        return [self._row(at) for at in range(start, start + self.batch)]

    def _row(self, at: int) -> int:
        epoch, place = divmod(at, len(self.numbers))
        if epoch not in self._orders:
            self._orders = {
                known: order for known, order in self._orders.items() if known >= epoch - 1
            }
            self._orders[epoch] = shuffled(len(self.numbers), self.seed, epoch)
        return self.numbers[self._orders[epoch][place]]

    def epochs(self, steps: int) -> float:
        """Passes over the rows after so many steps."""
        return steps * self.batch / len(self.numbers)

    def used(self, steps: int) -> list[int]:
        """The rows that a run of so many steps uses, ascending."""
        if steps * self.batch >= len(self.numbers):
            return sorted(self.numbers)
        return sorted(number for step in range(steps) for number in self[step])
