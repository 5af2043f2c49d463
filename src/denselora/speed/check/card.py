"""Which card this is, and what it can do at best."""

import subprocess
from collections.abc import Iterator

import torch

from denselora import provenance
from denselora.speed.check.finding import Finding, Place
from denselora.speed.clock import now


def card(place: Place) -> Iterator[Finding]:
    """Card, driver, versions, memory, bf16; the rates of a large product and a large copy."""
    versions = provenance.packages()
    yield Finding("packages", ", ".join(f"{name} {version}" for name, version in versions.items()))
    if place.is_gpu:
        properties = torch.cuda.get_device_properties(0)
        yield Finding("card", properties.name)
        yield Finding("driver, CUDA of torch", f"{_driver()}, {torch.version.cuda}")
        yield Finding("memory", f"{properties.total_memory / 2**30:.1f} GiB")
        yield Finding("processors", str(properties.multi_processor_count))
        yield Finding("bf16", "yes" if torch.cuda.is_bf16_supported() else "no: fp16 or fp32")
    yield Finding("bf16 product, TFLOP/s", f"{product_rate(place) / 1e12:.0f}")
    yield Finding("copy, TB/s read and written", f"{copy_rate(place) / 1e12:.2f}")


def product_rate(place: Place) -> float:
    """FLOP a second of a square product of random matrices in half precision."""
    side = place.sizes["product_side"]
    dtype = torch.bfloat16 if place.is_gpu else torch.float32
    one, other = torch.randn(2, side, side, device=place.device, dtype=dtype)
    return 2 * side**3 / _seconds(lambda: one @ other)


def copy_rate(place: Place) -> float:
    """Bytes a second of a large copy, those read and those written."""
    one = torch.empty(place.sizes["copy_bytes"], device=place.device, dtype=torch.uint8)
    other = torch.empty_like(one)
    return 2 * len(one) / _seconds(lambda: other.copy_(one))


def _seconds(work, times: int = 10) -> float:
    for _ in range(3):
        work()
    began = now()
    for _ in range(times):
        work()
    return (now() - began) / times


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    except OSError:
        return "unknown"
