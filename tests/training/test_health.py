"""When a run's numbers can't be trusted."""

import math

import pytest

from denselora.training.health import collapse, fault


def test_faults_name_the_value():
    assert fault(1.0, 2.0) is None
    assert fault(math.nan, 1.0) == "loss is nan"
    assert fault(1.0, math.inf) == "gradient norm is inf"


def line(step: int, loss: float | None, **rest) -> dict:
    return {"step": step, "loss_nats": loss} | rest


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        ([line(1, 2.0), line(2, 1.0)], None),
        ([line(1, 2.0), line(2, None, skipped="loss is nan")], "step 2: loss is nan"),
        ([line(1, 2.0), line(2, 0.0)], "step 2: loss at zero"),
        (
            [line(1, 2.0, validation_loss_nats=1.5), line(2, 2.0, validation_loss_nats=3.0)],
            "step 2: validation loss diverged",
        ),
        ([line(1, 2.0, validation_loss_nats=None)], "step 1: validation loss is not finite"),
        ([line(1, 2.0, validation_loss_nats=1.5), line(2, 2.0, validation_loss_nats=2.0)], None),
    ],
)
def test_a_collapse_is_reported_with_its_step(metrics, why):
    assert collapse(metrics) == why
