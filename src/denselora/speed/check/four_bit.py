"""A base in 4 bits, where bitsandbytes is installed."""

import importlib.util
import tempfile
from collections.abc import Iterator

from denselora.speed.check import mini
from denselora.speed.check.finding import Finding, Place


def four_bit(place: Place) -> Iterator[Finding]:
    """Training on mini's base in 4 bits: the operator's losses are the plain version's."""
    if importlib.util.find_spec("bitsandbytes") is None:
        yield Finding("4-bit base", "skipped: bitsandbytes isn't installed")
        return
    options = ("adapter.dropout=0", "quantization=nf4")
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            mini.start(place, f"{folder}/{fused}", *options, f"trainer.fused={fused}")
            for fused in ("always", "never")
        ]
        for run in runs:
            mini.end(run)
        ours, plain = (mini.losses_of(f"{folder}/{name}") for name in ("always", "never"))
    off = max(abs(a - b) / b for a, b in zip(ours, plain, strict=True))
    what = f"loss of {len(ours)} steps on a 4-bit base, operator and plain version, furthest apart"
    yield Finding(what, f"{off:.1e}", "at most 0.02", off <= 0.02)
