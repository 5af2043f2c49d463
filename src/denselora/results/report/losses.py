"""A run's loss curves, thinned out to what a chart can show."""

from typing import Any

import numpy as np

from denselora.results.metrics import read_losses
from denselora.results.record import Record

POINTS = 300


def thinned_losses(record: Record) -> dict[str, Any] | None:
    """The losses in nats beside a record; None if there are none.

    `steps` and `loss_nats`: at most `POINTS`, each the mean over as many steps, `every`, and at the
    last of them. `validation`: all its pairs of step and loss. Losses have four digits; null is one
    that wasn't finite.
    """
    file = record.beside(record.training.metrics_file) if record.training else None
    if file is None:
        return None
    curves = read_losses(file)
    steps, losses = curves["loss_nats"]
    every = max(1, -(-len(steps) // POINTS))
    starts = range(0, len(steps), every)
    return {
        "every": every,
        "steps": [int(steps[start : start + every][-1]) for start in starts],
        "loss_nats": [_four_digits(losses[start : start + every].mean()) for start in starts],
        "validation": [
            [int(step), _four_digits(loss)] for step, loss in curves["validation_loss_nats"].T
        ],
    }


def _four_digits(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None
