"""The layer's equation as one operator: what `layer.denselora_delta` computes, for less.

``add_branch`` gives y + (α / r) · drop( act( D · M · drop( act( E · drop(x) ) ) ) ), with x, y, E,
M, D as in ``layer.py``. Against the plain version it

- keeps for backward x and one r-vector per token, h = E · drop(x); D · M · z is computed again;
- keeps no mask: the seed of the three dropouts is drawn from torch's generator, and backward draws
  the same masks again, as gradient checkpointing does, which restores that generator;
- casts inside: whatever x is, the branch is computed and added in fp32, or fp64 if y or E is.

It is opaque to torch.compile, and has no second derivative. docs/performance.md has its costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def is_supported(x: Tensor) -> bool:
    """Whether ``add_branch`` has code for the device of x."""
    return x.device.type in ("cpu", "meta")


def add_branch(
    y: Tensor,
    x: Tensor,
    E: Tensor,
    M: Tensor,
    D: Tensor,
    scaling: float,
    activations: tuple[str, str],
    dropouts: tuple[float, float, float],
    training: bool,
) -> Tensor:
    """y [..., out] plus the branch for x [..., in], in the dtype of y; see ``denselora_delta``."""
    seed = draw_seed(x.device) if training and any(dropouts) else None
    return _branch(y, x, E, M, D, seed, scaling, *activations, *dropouts)[0]


def draw_seed(device: torch.device) -> Tensor:
    """From torch's generator of the device. A tensor, so that no GPU has to wait for it."""
    return torch.randint(2**63 - 1, (), device=device)


def dropped_positions(
    seed: Tensor | None, sizes: Sequence[int], probabilities: Sequence[float]
) -> list[Tensor | None]:
    """Which elements the dropouts zero: for each, ascending flat indices out of its size.

    None where nothing is dropped: probability 0, or no seed. Each element is dropped with exactly
    the probability, independently of all others: the number of elements kept between two dropped
    ones is geometric, so at p = 0.05 only a twentieth of the elements cost a random number.
    """
    if seed is None:
        return [None] * len(sizes)
    generator = np.random.Generator(np.random.SFC64(int(seed)))
    return [
        _positions(generator, size, p) if p else None
        for size, p in zip(sizes, probabilities, strict=True)
    ]


def _positions(generator: np.random.Generator, size: int, p: float) -> Tensor:
    found, last = [], -1
    while last < size:
        expected = p * (size - last)
        count = int(expected + 4 * math.sqrt(expected)) + 4
        # P(⌊exponential / λ⌋ >= k) = exp(-λ k) = (1 - p)^k for λ = -ln(1 - p)
        gaps = generator.standard_exponential(count, dtype=np.float32)
        gaps *= -1 / math.log1p(-p)
        np.minimum(gaps, size, out=gaps)  # a tiny p must not overflow
        steps = gaps.astype(np.int64)
        steps += 1
        steps[0] += last
        found.append(np.cumsum(steps, out=steps))
        last = steps[-1]
    positions = found[0] if len(found) == 1 else np.concatenate(found)
    return torch.from_numpy(positions[: np.searchsorted(positions, size)])


@torch.library.custom_op("denselora::branch", mutates_args=(), device_types="cpu")
def _branch(
    y: Tensor,
    x: Tensor,
    E: Tensor,
    M: Tensor,
    D: Tensor,
    seed: Tensor | None,
    scaling: float,
    after_E: str,
    after_D: str,
    on_x: float,
    on_z: float,
    on_d: float,
) -> tuple[Tensor, Tensor]:
    """y plus the branch, and h [tokens, r], the encoded vectors before their activation."""
    with torch.autocast("cpu", enabled=False):
        dtype = _compute_dtype(y, E)
        E, M, D = (weight.to(dtype) for weight in (E, M, D))
        x_dropped, z_dropped, d_dropped = _dropped(seed, x, E, D, on_x, on_z, on_d)
        h = _flat(x, dtype, x_dropped) @ _kept(E, x_dropped, on_x).T
        z = _zero(_activate(h.clone(), after_E), z_dropped)
        d = (z @ _kept(M, z_dropped, on_z).T) @ D.T
        d = _zero(_activate(d, after_D), d_dropped).view(y.shape)
        scale = scaling / (1 - on_d) if d_dropped is not None else scaling
        # the sum takes the place of d: y is left to its owner, and no pass is added
        return torch.add(y, d, alpha=scale, out=d).to(y.dtype), h


@_branch.register_fake
def _(y, x, E, M, D, *_):
    h = x.new_empty(math.prod(x.shape[:-1]), E.shape[0], dtype=_compute_dtype(y, E))
    return torch.empty_like(y, memory_format=torch.contiguous_format), h


@torch.library.custom_op("denselora::branch_backward", mutates_args=(), device_types="cpu")
def _branch_backward(
    grad: Tensor,
    x: Tensor,
    h: Tensor,
    E: Tensor,
    M: Tensor,
    D: Tensor,
    seed: Tensor | None,
    scaling: float,
    after_E: str,
    after_D: str,
    on_x: float,
    on_z: float,
    on_d: float,
    need_x: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x (empty unless ``need_x``), E, M and D from that of the sum."""
    with torch.autocast("cpu", enabled=False):
        weights = E.dtype
        E, M, D = (weight.to(h.dtype) for weight in (E, M, D))
        x_dropped, z_dropped, d_dropped = _dropped(seed, x, E, D, on_x, on_z, on_d)
        # again, as far as D · M · z
        z = _zero(_activate(h.clone(), after_E), z_dropped)
        M = _kept(M, z_dropped, on_z)
        w = z @ M.T
        d = w @ D.T

        scale = scaling / (1 - on_d) if d_dropped is not None else scaling
        grad_d = _zero(_slope(_flat(grad, h.dtype), d, after_D), d_dropped)
        grad_D = ((scale * w).T @ grad_d).T  # twice as fast as grad_d.T @ w
        grad_w = scale * (grad_d @ D)
        grad_M = grad_w.T @ z
        if z_dropped is not None:
            grad_M /= 1 - on_z
        grad_h = _slope(_zero(grad_w @ M, z_dropped), h.clone(), after_E)
        if x_dropped is not None:
            grad_h /= 1 - on_x
        grad_E = grad_h.T @ _flat(x, h.dtype, x_dropped)
        grad_x = x.new_empty(0)
        if need_x:
            grad_x = _zero(grad_h @ E, x_dropped).view(x.shape).to(x.dtype)
        return (
            grad_x,
            grad_E.to(weights),
            grad_M.to(weights),
            grad_D.to(weights, memory_format=torch.contiguous_format),
        )


@_branch_backward.register_fake
def _(grad, x, h, E, M, D, *rest):
    need_x = rest[-1]
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    return grad_x if need_x else x.new_empty(0), *map(torch.empty_like, (E, M, D))


def _setup_context(ctx, inputs, output) -> None:
    _, x, E, M, D, seed, *ctx.options = inputs
    _, h = output
    ctx.mark_non_differentiable(h)
    ctx.save_for_backward(x, h, E, M, D, seed)


def _backward(ctx, grad, _):
    need_x = ctx.needs_input_grad[1]
    grads = _branch_backward(grad, *ctx.saved_tensors, *ctx.options, need_x)
    return grad, grads[0] if need_x else None, *grads[1:], *[None] * (1 + len(ctx.options))


_branch.register_autograd(_backward, setup_context=_setup_context)


def _compute_dtype(y: Tensor, E: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(y.dtype, E.dtype), torch.float32)


def _dropped(seed, x, E, D, *probabilities) -> list[Tensor | None]:
    tokens = math.prod(x.shape[:-1])
    return dropped_positions(
        seed, [x.numel(), tokens * E.shape[0], tokens * D.shape[0]], probabilities
    )


def _flat(x: Tensor, dtype: torch.dtype, dropped: Tensor | None = None) -> Tensor:
    """x as [tokens, features]; a copy if elements of it are to be zero."""
    flat = x.reshape(-1, x.shape[-1])
    if dropped is None:
        return flat.to(dtype)
    copy = torch.empty(flat.shape, dtype=dtype)
    return _zero(copy.copy_(flat), dropped)


def _zero(values: Tensor, dropped: Tensor | None) -> Tensor:
    """values with the dropped elements zeroed, in place."""
    if dropped is not None:
        values.view(-1).index_fill_(0, dropped, 0)
    return values


def _kept(weight: Tensor, dropped: Tensor | None, p: float) -> Tensor:
    """The weight times what dropout scales its input by: smaller than the input."""
    return weight if dropped is None else weight / (1 - p)


def _activate(values: Tensor, activation: str) -> Tensor:
    """In place; see ACTIVATIONS of ``layer.py``."""
    if activation == "gelu":
        return torch.ops.aten.gelu_(values)
    if activation == "silu":
        return torch.ops.aten.silu_(values)
    return values.clamp_(min=0) if activation == "relu" else values


def _slope(grad: Tensor, values: Tensor, activation: str) -> Tensor:
    """The activation's backward pass at ``values``, whose place it takes."""
    if activation == "gelu":
        return torch.ops.aten.gelu_backward.grad_input(grad, values, grad_input=values)
    if activation == "silu":
        return torch.ops.aten.silu_backward.grad_input(grad, values, grad_input=values)
    if activation == "relu":
        return torch.heaviside(values, values.new_tensor(0.5), out=values).mul_(grad)
    return values.copy_(grad)
