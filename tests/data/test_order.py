"""The order of rows: by (seed, epoch) alone."""

import random
from collections import Counter

import pytest
import torch

from denselora.data.order import Schedule, grouped_by_length, shuffled

NUMBERS = list(range(100, 150))


def test_order_depends_on_seed_and_epoch_alone():
    first = shuffled(50, 42, 0)
    random.seed(1)
    torch.manual_seed(1)
    assert shuffled(50, 42, 0) == first
    assert shuffled(50, 43, 0) != first
    assert shuffled(50, 42, 1) != first
    assert sorted(first) == list(range(50))


def test_first_hundred_batches_repeat():
    one, other = Schedule(NUMBERS, 7, 4), Schedule(NUMBERS, 7, 4)
    forwards = [one[step] for step in range(100)]
    backwards = [other[step] for step in reversed(range(100))]
    assert forwards == backwards[::-1]


@pytest.mark.parametrize("lengths", [None, {n: n * 7 % 13 for n in NUMBERS}])
def test_each_epoch_has_every_row_once(lengths):
    schedule = Schedule(NUMBERS, 7, 4, lengths)  # 50 rows: epochs end within a batch
    rows = [row for step in range(25) for row in schedule[step]]
    assert Counter(rows[:50]) == Counter(rows[50:]) == Counter(NUMBERS)
    assert rows[:50] != rows[50:]


def test_rows_of_like_length_share_a_batch():
    lengths = {number: number * 7 % 13 for number in NUMBERS}

    def spread(schedule: Schedule) -> int:
        batches = [[lengths[row] for row in schedule[step]] for step in range(25)]
        return sum(max(batch) - min(batch) for batch in batches)

    grouped = Schedule(NUMBERS, 7, 4, lengths)
    assert spread(grouped) < spread(Schedule(NUMBERS, 7, 4)) / 3
    assert [grouped[step] for step in range(12)] != sorted(grouped[step] for step in range(12))


def test_grouping_keeps_the_rows_of_a_part_batch_at_the_end():
    order = [3, 1, 4, 0, 2]
    assert grouped_by_length(order, [5, 4, 3, 2, 1], 2, 0, 0)[-1] == 2


def test_used_rows_are_those_of_the_steps():
    schedule = Schedule(NUMBERS, 7, 4)
    assert schedule.used(3) == sorted(row for step in range(3) for row in schedule[step])
    assert schedule.used(1000) == NUMBERS
