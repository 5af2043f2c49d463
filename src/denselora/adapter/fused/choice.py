"""Whether a layer uses the fused operator or `denselora_delta` as it stands in layer.py.

The operator has to earn it: at its first use on a device, for each dtype, rank and pair of
activations, it is compared with the plain version on a small input, without dropout and with its
own masks, the sum and all gradients. So an operator that is wrong on some GPU, or a plain version
that somebody has edited, is never silently trained with the other's numbers.
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
    torch.float16: (2e-3, 2e-3),
    torch.bfloat16: (4e-3, 2e-3),
}
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


def is_chosen(x: Tensor, E: Tensor, activations: tuple[str, str], dropouts, plain: Plain) -> bool:
    """Whether a layer with input x and encoder E [r, in] uses the operator.

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
    wrong = _prove(str(x.device), x.dtype, E.dtype, r, activations, dropouts, plain)
    if wrong and _mode == "always":
        raise RuntimeError(f'use_fused("always"): {wrong}')
    return not wrong


@torch.compiler.assume_constant_result
def _prove(device, dtype, weights, r, activations, dropouts, plain) -> str:
    """What is wrong with the operator here, or nothing; a warning the first time."""
    rank = max(16, 2 ** math.ceil(math.log2(r))) if device != "cpu" else 0
    key = (device, dtype, weights, rank, activations, plain)
    if key not in _found:
        try:
            _found[key] = _difference(device, dtype, weights, r, activations, dropouts, plain)
        except Exception as error:  # whatever it is, the plain version still works
            _found[key] = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
        if _found[key]:
            _found[key] = (
                f"DenseLoRA's fused operator fails on {device} ({dtype}, r={r}, "
                f"{' and '.join(activations)}): {_found[key]}"
            )
            warnings.warn(f"{_found[key]}. Using the plain version, which is slower", stacklevel=3)
    return _found[key]


@torch.inference_mode(False)
@torch.enable_grad()
def _difference(device, dtype, weights, r, activations, dropouts, plain) -> str:
    """The first tensor that differs by more than rounding, in words, or nothing."""
    given = _operands(r, dtype, weights, device)
    of_base, of_products = ROUNDING[dtype]
    of_products = max(of_products, ROUNDING[weights][0])
    if not any(dropouts):
        dropouts = (0.25, 0.25, 0.25)
    for seed in (None, torch.tensor(2**62 + 2**31 + 5, device=device)):
        with torch.autocast(torch.device(device).type, enabled=False):
            ours = _results(given, lambda y, *t, s=seed: _fused(y, *t, s, activations, dropouts))
            exact = [tensor.double() for tensor in given]
            drawn = _masks(device, seed, r, dropouts)
            with _Masks(drawn):
                theirs = _results(
                    exact,
                    lambda y, *t, s=seed: y + plain(*t, 2.0, activations, dropouts, s is not None),
                )
        for name, one, other in zip(("sum", "y", "x", "E", "M", "D"), ours, theirs, strict=True):
            off = float((one.double() - other).norm() / other.norm())
            if not off <= (of_base if name in ("sum", "y", "x") else of_products):
                what = "the sum" if name == "sum" else f"the gradient of {name}"
                return f"{what} is off by {off:.1e} {'with' if drawn else 'without'} dropout"
    return ""


def _operands(r, dtype, weights, device) -> list[Tensor]:
    """y, x, E, M, D and the gradient of the sum; drawn on the CPU, the same everywhere."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape, scale=1.0, dtype=dtype):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        return drawn.to(device, dtype)

    return [
        draw(TOKENS, OUT),
        draw(TOKENS, IN),
        draw(r, IN, scale=IN**-0.5, dtype=weights),
        draw(r, r, scale=r**-0.5, dtype=weights),
        draw(OUT, r, scale=r**-0.5, dtype=weights),
        draw(TOKENS, OUT),
    ]


def _results(operands: list[Tensor], function: Callable[..., Tensor]) -> list[Tensor]:
    """The sum, then the gradients of y, x, E, M, D."""
    *leaves, grad = operands
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    total = function(*leaves)
    return [total.detach(), *torch.autograd.grad(total, leaves, grad)]


def _fused(y, x, E, M, D, seed, activations, dropouts) -> Tensor:
    return operator.add_with_seed(y * 1, x, E, M, D, seed, 2.0, activations, dropouts)


def _masks(device, seed, r, dropouts) -> list[Tensor]:
    if seed is None:
        return []
    code = operator.code(torch.device(device))
    return [mask.double() for mask in code.masks(seed, TOKENS, (IN, r, OUT), dropouts)]


class _Masks(TorchFunctionMode):
    """Within, F.dropout multiplies by the next of these masks."""

    def __init__(self, masks: list[Tensor]):
        super().__init__()
        self._masks = list(masks)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.dropout:
            return args[0] * self._masks.pop(0) if self._masks else args[0]
        return function(*args, **kwargs or {})
