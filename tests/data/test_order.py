"""The order of rows: by (seed, epoch) alone."""

import random
from collections import Counter

import torch

from denselora.data.order import Schedule, shuffled

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


def test_each_epoch_has_every_row_once():
    schedule = Schedule(NUMBERS, 7, 4)  # 50 rows: epochs end within a batch
    rows = [row for step in range(25) for row in schedule[step]]
    assert Counter(rows[:50]) == Counter(rows[50:]) == Counter(NUMBERS)
    assert rows[:50] != rows[50:]


def test_used_rows_are_those_of_the_steps():
    schedule = Schedule(NUMBERS, 7, 4)
    assert schedule.used(3) == sorted(row for step in range(3) for row in schedule[step])
    assert schedule.used(1000) == NUMBERS
