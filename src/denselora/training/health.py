"""Runs whose numbers can't be trusted: reported, counted, stopped."""

import math
from collections.abc import Sequence

from denselora.errors import UserError


class Diverged(UserError):
    """Too many steps in a row had no finite loss or gradient. No mistake of the user's: exit 1."""

    exit_code = 1


def fault(loss_nats: float, grad_norm: float) -> str | None:
    """Why a step must not be taken, or None."""
    if not math.isfinite(loss_nats):
        return f"loss is {loss_nats}"
    if not math.isfinite(grad_norm):
        return f"gradient norm is {grad_norm}"
    return None


def collapse(metrics: Sequence[dict]) -> str | None:
    """Why a finished run counts as collapsed, or None.

    metrics: the lines of metrics.jsonl. A loss at exactly zero is what half precision gives when it
    has broken down; a validation loss that ends at twice its first value or more has diverged.
    """
    last = metrics[-1]
    if last["loss_nats"] is None:
        return f"step {last['step']}: {last['skipped']}"
    if last["loss_nats"] == 0:
        return f"step {last['step']}: loss at zero"
    validation = [row for row in metrics if "validation_loss_nats" in row]
    losses = [row["validation_loss_nats"] for row in validation]
    if losses and losses[-1] is None:
        return f"step {validation[-1]['step']}: validation loss is not finite"
    finite = [loss for loss in losses if loss is not None]
    if len(finite) > 1 and finite[-1] >= 2 * finite[0]:
        return f"step {validation[-1]['step']}: validation loss diverged"
    return None
