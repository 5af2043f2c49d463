"""How long a queue of runs takes on several GPUs."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Queue:
    """makespan: hours from the first start to the last end. gpu_hours: of all runs together.

    bound: what a shorter makespan takes: shorter runs or more GPUs; None without runs.
    """

    gpus: int
    makespan: float
    gpu_hours: float
    bound: str | None

    @property
    def idle(self) -> float:
        """The share of the GPUs' time in which no run is left for them."""
        return 1 - self.gpu_hours / (self.gpus * self.makespan) if self.makespan else 0.0


def longest_first(hours: Sequence[float], gpus: int) -> Queue:
    """A run on one GPU each: a GPU that is free takes the longest run that is left.

    This is Graham's rule (1969), at most a third longer than the best order.
    """
    free_at = [0.0] * gpus
    for each in sorted(hours, reverse=True):
        heapq.heappush(free_at, heapq.heappop(free_at) + each)
    total = sum(hours)
    bound = None
    if hours:
        alone = max(hours) >= total / gpus
        bound = "the longest run" if alone else "the number of GPUs"
    return Queue(gpus, max(free_at), total, bound)
