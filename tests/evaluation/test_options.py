from typing import get_args

import pytest

from denselora.errors import UserError
from denselora.evaluation.options import ScoringName, TaskNames
from denselora.evaluation.scoring import SCORINGS


def test_scoring_takes_the_ways_that_there_are():
    assert get_args(ScoringName) == tuple(SCORINGS)


@pytest.mark.parametrize("tasks", ["all", "boolq", ["boolq", "piqa"]])
def test_tasks_are_all_or_names(tasks):
    assert TaskNames().read(tasks) == tasks


@pytest.mark.parametrize("tasks", [None, 5, [5], [], "", ["all"], ["boolq", "squad"]])
def test_what_is_no_benchmark_is_refused(tasks):
    with pytest.raises(
        (ValueError, UserError), match=r"give names of benchmarks|unknown benchmark"
    ):
        TaskNames().read(tasks)
