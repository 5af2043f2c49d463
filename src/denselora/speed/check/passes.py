"""A pass of the training loop against the plain way to compute it."""

from collections.abc import Iterator

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from denselora.data.batch import pack
from denselora.speed.check.finding import Finding, Place
from denselora.speed.loop import gradients_off_by, lengths
from denselora.training.attention import row_arguments, varlen_attention

TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]


def attention(place: Place) -> Iterator[Finding]:
    """Rows end to end in flash attention, and row by row in fp32: result and gradients."""
    heads, shared, width = place.sizes["heads"]
    ids = [np.zeros(size, np.int64) for size in lengths(16, seed=0)]
    rows = [{"input_ids": row, "labels": row} for row in ids]
    arguments = row_arguments(pack(rows, [1.0] * len(rows)).to(torch.device(place.device)))
    tokens = sum(map(len, ids))
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(1, n, tokens, width, generator=generator) for n in (heads, shared, shared)]
    grad = torch.randn(1, tokens, heads, width, generator=generator).to(place.device)

    def through(dtype: torch.dtype) -> list[Tensor]:
        inputs = [part.to(place.device, dtype).requires_grad_() for part in given]
        y, _ = varlen_attention(None, *inputs, None, **arguments)
        return [y.detach(), *torch.autograd.grad(y, inputs, grad.to(dtype))]

    exact, half = through(torch.float32), through(torch.bfloat16)
    for name, one, other in zip(("result", "query", "key", "value"), exact, half, strict=True):
        off = float((one - other.float()).norm() / one.norm())
        what = name if name == "result" else f"gradient of {name}"
        yield Finding(f"bf16, {tokens} tokens, {what}", f"{off:.1e}", "at most 0.02", off <= 0.02)


def gradients(place: Place) -> Iterator[Finding]:
    """A global batch in one pass against padded micro-batches, in fp32 and bf16."""
    for precision, limit in (("float32", 1e-4), ("bfloat16", 0.1)):
        yield from _gradients(place, precision, limit, [])


def recorded(place: Place) -> Iterator[Finding]:
    """The same with the blocks' kernels recorded and replayed, as trainer.cuda_graphs does."""
    if not place.is_gpu:
        yield Finding("recorded passes", "skipped: needs a GPU")
        return
    yield from _gradients(place, "bfloat16", 0.1, ["recorded"])


def _gradients(place: Place, precision: str, limit: float, also: list[str]) -> Iterator[Finding]:
    shape = OmegaConf.create({"config": place.sizes["narrow"], "precision": precision})
    loop = OmegaConf.create(
        {"rank": 16, "dropout": 0.0, "target_modules": TARGETS, "pass_tokens": 1024}
        | {"also": {place.device: also}}
    )
    found = gradients_off_by(shape, loop, torch.device(place.device))
    for way, off in list(found.items())[1:]:
        what = f"{precision}, {way}: furthest matrix"
        yield Finding(what, f"{off:.1e}", f"at most {limit:g}", off <= limit)
