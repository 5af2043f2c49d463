"""A base in 4 bits, where bitsandbytes is installed."""

import importlib.util
from collections.abc import Iterator

from denselora.speed.check import mini
from denselora.speed.check.finding import Finding, Place


def four_bit(place: Place) -> Iterator[Finding]:
    """Training on mini's base in 4 bits: the operator's losses are the plain version's."""
    if importlib.util.find_spec("bitsandbytes") is None:
        yield Finding("4-bit base", "skipped: bitsandbytes isn't installed")
        return
    options = ("adapter.dropout=0", "quantization=nf4")
    ways = [(*options, f"trainer.fused={fused}") for fused in ("always", "never")]
    yield mini.losses_apart(place, "4-bit base, operator and plain version", 0.02, *ways)
