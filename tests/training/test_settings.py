"""Batch arithmetic and impossible values."""

from typing import get_args, get_type_hints

import pytest

from denselora.adapter.fused.choice import MODES
from denselora.errors import UserError
from denselora.training.settings import Settings
from tests.configs import settings


def test_accumulation_is_derived():
    assert settings().accumulation(1) == 4
    assert settings(micro_batch_size=2).accumulation(2) == 4


def test_what_does_not_divide_names_the_three_numbers():
    with pytest.raises(UserError, match=r"=16 .*micro_batch_size=4 × 3 processes"):
        settings().accumulation(3)


def test_steps_are_of_whole_batches_over_all_epochs():
    assert settings().steps(100) == 12  # 2 × 100 rows, 16 a step
    assert settings(max_steps=5).steps(100) == 5
    assert settings(max_steps=0).steps(100) == 12
    with pytest.raises(UserError, match="don't fill one batch"):
        settings().steps(7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batch_size": 0}, "trainer.micro_batch_size=0"),
        ({"learning_rate": -1}, "trainer.learning_rate=-1"),
        ({"precision": "fp8"}, "auto, bf16, fp16, fp32"),
        ({"optimizer": "sgd"}, "adamw, adamw_8bit, paged_adamw_8bit"),
        ({"checkpoint": "best", "validation_rows": 0}, "set trainer.validation_rows"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_impossible_values_are_reported(changes, message):
    with pytest.raises(UserError, match=message):
        settings(**changes)


def test_fused_takes_what_the_operator_does():
    assert get_args(get_type_hints(Settings)["fused"]) == MODES
