"""Whether a layer uses the fused operator or `denselora_delta` as it stands in layer.py.

The operator has to earn it: at its first use on a device, for each dtype and pair of activations,
on a GPU for each rank and with and without TF32 too, it is compared with the plain version on a
small input, without dropout and with its own masks, the sum and all gradients. So an operator that
is wrong on some GPU, or a plain version that somebody has edited, is never silently trained with
the other's numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from denselora.adapter.fused import operator

MODES = ("auto", "always", "never")
TOKENS, IN, OUT = 70, 144, 160  # more than a tile of each, no whole number of tiles
# ‖fused - plain‖ / ‖plain‖ that is rounding: of a result in the base's dtype, and of the products,
# which are TF32's under a base in half precision
ROUNDING = {
    torch.float64: (1e-10, 1e-10),
    torch.float32: (1e-4, 1e-4),
    torch.float16: (4e-3, 5e-3),
    torch.bfloat16: (4e-3, 5e-3),
}
JUMP = 0.05  # TF32 turns the sign of some values next to zero, where ReLU's slope jumps
Plain = Callable[..., Tensor]

_mode = "auto"
_found: dict[tuple, str] = {}  # what was wrong, "" if nothing


class use_fused:
    """Choose for all DenseLoRA layers, from now on or within a `with` block.

    "auto": the fused operator where it has code for the device and is proved, else the plain
    version, with one warning if the two differ. "always": raise RuntimeError where "auto" would
    fall back. "never": `denselora_delta` in layer.py, so that what is edited there is trained.

    A choice of this process, not saved with an adapter. Raises ValueError for another word.
    """

    def __init__(self, mode: str):
        global _mode
        if mode not in MODES:
            raise ValueError(f"use_fused({mode!r}): use one of {', '.join(MODES)}")
        self._before, _mode = _mode, mode

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_) -> None:
        global _mode
        _mode = self._before


def is_chosen(
    y: Tensor, x: Tensor, E: Tensor, activations: tuple[str, str], dropouts, plain: Plain
) -> bool:
    """Whether a layer with output y, input x and encoder E [r, in] uses the operator.

    plain: `denselora_delta`. Raises RuntimeError under "always" where it can't be used or is wrong.
    """
    if _mode == "never":
        return False
    r = len(E)
    if not operator.is_supported(x, r):
        if _mode == "always":
            raise RuntimeError(
                f'use_fused("always"): the operator has no code for {x.dtype} on {x.device.type} '
                f'at r={r}; use "auto" or "never"'
            )
        return False
    if x.is_meta:
        return True
    # under autocast x may be wider than y, after which the products are chosen
    kinds = (y.dtype, x.dtype, E.dtype)
    wrong = _prove(str(x.device), kinds, r, activations, dropouts, plain)
    if wrong and _mode == "always":
        raise RuntimeError(f'use_fused("always"): {wrong}')
    return not wrong


@torch.compiler.assume_constant_result
def _prove(device, kinds, r, activations, dropouts, plain) -> str:
    """What is wrong with the operator here, or nothing; a warning the first time."""
    rank = max(16, 2 ** math.ceil(math.log2(r))) if device != "cpu" else 0
    key = (device, kinds, rank, activations, operator.is_tf32_allowed(), plain)
    if key not in _found:
        try:
            _found[key] = _difference(device, kinds, r, activations, dropouts, plain)
        except Exception as error:  # whatever it is, the plain version still works
            _found[key] = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
        if _found[key]:
            _found[key] = (
                f"DenseLoRA's fused operator fails on {device} ({kinds[0]}, r={r}, "
                f"{' and '.join(activations)}): {_found[key]}"
            )
            warnings.warn(f"{_found[key]}. Using the plain version, which is slower", stacklevel=3)
    return _found[key]


@torch.inference_mode(False)
def _difference(device, kinds, r, activations, dropouts, plain) -> str:
    """The first tensor that differs by more than rounding, in words, or nothing."""
    dtype, of_x, weights = kinds
    given = operands(r, dtype, weights, device, of_x=of_x)
    for seed in (None, torch.tensor(2**62 + 2**31 + 5, device=device)):
        # in a checkpointed block its own tensors are saved as anywhere, not to be computed again
        with torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, lambda kept: kept):
            found = differences(given, seed, activations, dropouts, plain)
        for name, off in found.items():
            if not off <= rounding(name, dtype, weights, activations):
                what = "the sum" if name == "sum" else f"the gradient of {name}"
                return f"{what} is off by {off:.1e} {'without' if seed is None else 'with'} dropout"
    return ""


def rounding(
    name: str, dtype: torch.dtype, weights: torch.dtype, activations: tuple[str, str]
) -> float:
    """How far a tensor of `differences` may be off under a base of this dtype."""
    of_base, of_products = ROUNDING[dtype]
    is_rounded = dtype.itemsize == 2
    if dtype == torch.float32 and operator.is_tf32_allowed():
        of_base = of_products = ROUNDING[torch.bfloat16][1]
        is_rounded = True
    if is_rounded and "relu" in activations and name not in ("sum", "y"):
        return JUMP
    return of_base if name in ("sum", "y", "x") else max(of_products, ROUNDING[weights][0])


@torch.enable_grad()
def differences(
    given: list[Tensor],
    seed: Tensor | None,
    activations: tuple[str, str],
    dropouts: tuple[float, float, float],
    plain: Plain,
) -> dict[str, float]:
    """‖fused - plain‖ / ‖plain‖ of the sum and of the gradients of y, x, E, M, D.

    The plain version computes in fp64 with the operator's masks for that seed; None: no dropout.
    given: as `operands` has them. If no dropout is set, a quarter is dropped.
    """
    dropouts = dropouts if any(dropouts) else (0.25, 0.25, 0.25)
    (tokens, in_), r, out = given[1].shape, len(given[2]), len(given[4])
    masks = []
    if seed is not None:
        masks = operator.code(seed.device).masks(seed, tokens, (in_, r, out), dropouts)

    def fused(y, *leaves):
        return operator.add_with_seed(y * 1, *leaves, seed, 2.0, activations, dropouts)

    def exact(y, *leaves):
        return y + plain(*leaves, 2.0, activations, dropouts, seed is not None)

    with torch.autocast(given[0].device.type, enabled=False):
        ours = _results(given, fused)
        with _Masks(masks):
            theirs = _results([tensor.double() for tensor in given], exact)
    names = ("sum", "y", "x", "E", "M", "D")
    return {
        name: float((one.double() - other).norm() / other.norm())
        for name, one, other in zip(names, ours, theirs, strict=True)
    }


def operands(
    r: int,
    dtype: torch.dtype,
    weights: torch.dtype,
    device: torch.device | str,
    tokens: int = TOKENS,
    features: tuple[int, int] = (IN, OUT),
    of_x: torch.dtype | None = None,
) -> list[Tensor]:
    """Random y [tokens, out], x [tokens, in], E, M, D and the gradient of the sum.

    Drawn on the CPU: the same everywhere. of_x: x's dtype, where it isn't y's.
    """
    generator, (in_, out) = torch.Generator().manual_seed(0), features

    def draw(*shape, scale=1.0, dtype=dtype):
        return (torch.randn(shape, generator=generator) * scale).to(device, dtype)

    return [
        draw(tokens, out),
        draw(tokens, in_, dtype=of_x or dtype),
        draw(r, in_, scale=in_**-0.5, dtype=weights),
        draw(r, r, scale=r**-0.5, dtype=weights),
        draw(out, r, scale=r**-0.5, dtype=weights),
        draw(tokens, out),
    ]


def _results(operands: list[Tensor], function: Callable[..., Tensor]) -> list[Tensor]:
    """The sum, then the gradients of y, x, E, M, D."""
    *leaves, grad = operands
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    total = function(*leaves)
    return [total.detach(), *torch.autograd.grad(total, leaves, grad)]


class _Masks(TorchFunctionMode):
    """Within, F.dropout multiplies by the next of these masks."""

    def __init__(self, masks: list[Tensor]):
        super().__init__()
        self._masks = list(masks)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.dropout:
            return args[0] * self._masks.pop(0).to(args[0]) if self._masks else args[0]
        return function(*args, **kwargs or {})
