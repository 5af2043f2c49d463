import pytest

from denselora.reproduce.queue import longest_first


@pytest.mark.parametrize(
    ("gpus", "makespan", "bound", "idle"),
    [
        (1, 12, "the number of GPUs", 0),
        (2, 7, "the number of GPUs", 1 / 7),  # 3 2 2 | 3 2; the best order, 3 3 | 2 2 2, takes 6
        (3, 5, "the number of GPUs", 1 / 5),
        (64, 3, "the longest run", 1 - 12 / (64 * 3)),
    ],
)
def test_the_longest_run_goes_first_to_the_gpu_that_is_free(gpus, makespan, bound, idle):
    queue = longest_first([2, 3, 2, 3, 2], gpus)
    assert (queue.makespan, queue.gpu_hours, queue.bound) == (makespan, 12, bound)
    assert queue.idle == pytest.approx(idle)


def test_without_runs_there_is_nothing_to_wait_for():
    queue = longest_first([], 8)
    assert (queue.makespan, queue.gpu_hours, queue.bound, queue.idle) == (0, 0, None, 0)
