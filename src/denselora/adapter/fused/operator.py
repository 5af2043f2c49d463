"""The layer's equation as one operator: what `layer.denselora_delta` computes, for less.

``add_branch`` gives y + (α / r) · drop( act( D · M · drop( act( E · drop(x) ) ) ) ), with x, y, E,
M, D as in ``layer.py``. Against the plain version it

- keeps for backward x and one r-vector per token, h = E · drop(x); D · M · z is computed again;
- keeps no mask: the seed of the three dropouts is drawn from torch's generator, and backward draws
  the same masks again, as gradient checkpointing does, which restores that generator;
- casts inside: whatever x is, the branch is computed and added in fp32, or fp64 if y or E is;
- adds into y, which is the base layer's fresh output.

cpu.py and gpu.py (Triton) do the work; choice.py decides whether a layer uses it. The operator is
opaque to torch.compile and has no second derivative. docs/performance.md has its costs.
"""

from __future__ import annotations

import functools
import importlib.util
import math

import torch
from torch import Tensor

from denselora.adapter.fused import cpu

# A kernel holds whole r-vectors: tiles of more don't fit into a processor's shared memory.
LARGEST_GPU_RANK = 256


def is_supported(x: Tensor, r: int) -> bool:
    """Whether ``add_branch`` has code for the device and dtype of x, at rank r."""
    on_gpu = x.is_cuda and x.dtype != torch.float64 and r <= LARGEST_GPU_RANK and _has_triton()
    return on_gpu or x.device.type in ("cpu", "meta")


def is_tf32_allowed() -> bool:
    """Whether the user lets torch round fp32 products to TF32 on a GPU."""
    return torch.backends.cuda.matmul.fp32_precision == "tf32"


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


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
    """y [..., out] plus the branch for x [..., in], in the dtype of y; see ``denselora_delta``.

    The sum takes the memory of y where it may: y is a plain intermediate result, not a view.
    """
    seed = draw_seed(x.device) if training and any(dropouts) else None
    return add_with_seed(y, x, E, M, D, seed, scaling, activations, dropouts)


def add_with_seed(y, x, E, M, D, seed: Tensor | None, scaling, activations, dropouts) -> Tensor:
    """The same with the seed of the dropouts given; None drops nothing."""
    arguments = (y, x, E, M, D, seed, scaling, *activations, *dropouts)
    if torch.compiler.is_compiling() or not _may_overwrite(y):
        return _branch(*arguments)[0]
    return _AddBranch.apply(*arguments)


def _may_overwrite(y: Tensor) -> bool:
    is_result = not (y._is_view() or (y.is_leaf and y.requires_grad))
    return is_result and y.is_contiguous() and not y.is_meta


def draw_seed(device: torch.device) -> Tensor:
    """From torch's generator of the device. A tensor, so that no GPU has to wait for it."""
    return torch.randint(2**63 - 1, (), device=device)


class _AddBranch(torch.autograd.Function):
    """y += branch"""

    @staticmethod
    def forward(ctx, y, x, E, M, D, seed, *options):
        h = _add(y, x, E, M, D, seed, *options)
        ctx.mark_dirty(y)
        ctx.save_for_backward(x, h, E, M, D, seed)
        ctx.options = options
        return y

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            raise RuntimeError("DenseLoRA's operator has no second derivative (create_graph=True)")
        need_x = ctx.needs_input_grad[1]
        grad_x, *grads = _gradients(grad, *ctx.saved_tensors, *ctx.options, need_x)
        return grad, grad_x if need_x else None, *grads, *[None] * (1 + len(ctx.options))


# torch.compile would trace into the function above. For it, the same is an operator that it takes
# as a whole and that changes none of its arguments.


@torch.library.custom_op("denselora::branch", mutates_args=())
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
    total = y.clone(memory_format=torch.contiguous_format)
    return total, _add(total, x, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d)


@_branch.register_fake
def _(y, x, E, M, D, *_):
    h = x.new_empty(math.prod(x.shape[:-1]), E.shape[0], dtype=_compute_dtype(y, E))
    return torch.empty_like(y, memory_format=torch.contiguous_format), h


@torch.library.custom_op("denselora::branch_backward", mutates_args=())
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
    grads = _gradients(
        grad, x, h, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d, need_x
    )
    # results that share memory are not allowed here
    return tuple(part.clone() if part._is_view() else part for part in grads)


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


def _add(y, x, E, M, D, seed, *options) -> Tensor:
    """Add the branch to y, contiguous. Returns h [tokens, r], the vectors before E's activation."""
    h = x.new_empty(math.prod(x.shape[:-1]), len(E), dtype=_compute_dtype(y, E))
    code(x.device).add(y, h, x, E, M, D, seed, *options)
    return h


def _gradients(grad, x, *arguments) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x (empty unless needed), E, M and D from that of the sum."""
    return code(x.device).gradients(grad, x, *arguments)


def code(device: torch.device):
    """The module with `add`, `gradients` and `masks` for a device."""
    if device.type == "cuda":
        from denselora.adapter.fused import gpu

        return gpu
    return cpu


def _compute_dtype(y: Tensor, E: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(y.dtype, E.dtype), torch.float32)
