"""The operator on a CPU: a block of rows at a time, in the same memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.random.bit_generator import ISeedSequence
from torch import Tensor

# Smaller blocks stay in the cache, but take more calls, each of which costs tens of microseconds
# when it comes after a large product, and the products of fewer rows are slower.
BLOCK_ELEMENTS = 2**20
_memory = threading.local()


def add(y, h, x, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d) -> None:
    """Add the branch to y, contiguous, and fill h [tokens, r] with E · drop(x)."""
    masks = Masks(seed, (on_x, on_z, on_d))
    scale_x, scale_z, scale_d = masks.scales
    E, M, D = _cast(h.dtype, E, M, D)
    blocks = _blocks(x, h, y)
    with _no_autocast():
        for x, h, y in blocks:
            dropped_x, dropped_z, dropped_d = masks.next(x.numel(), h.numel(), y.numel())
            block, flat = _block(x, h.dtype)
            block.copy_(x)
            _zero(flat, dropped_x)
            torch.addmm(h, block, E.T, beta=0, alpha=scale_x, out=h)
            z = _activate(h, after_E)
            _zero(_flat(z), dropped_z)
            w = torch.addmm(z, z, M.T, beta=0, alpha=scale_z)
            d, flat = _block(y, h.dtype)
            _activate(torch.mm(w, D.T, out=d), after_D, out=d)
            _zero(flat, dropped_d)
            y.add_(d, alpha=scaling * scale_d)


def gradients(
    grad, x, h, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d, need_x
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x (empty unless ``need_x``), E, M and D from that of the sum."""
    masks = Masks(seed, (on_x, on_z, on_d))
    scale_x, scale_z, scale_d = masks.scales
    weights, dtype = E.dtype, h.dtype
    E, M, D = _cast(dtype, E, M, D)
    grad_x = x.new_empty(x.shape if need_x else 0)
    # D's turned: that product is twice as fast
    grad_E, grad_M, grad_D = torch.zeros_like(E), torch.zeros_like(M), D.new_zeros(D.T.shape)
    blocks = _blocks(x, h, grad, grad_x if need_x else x)
    with _no_autocast():
        for x, h, grad, out in blocks:
            dropped_x, dropped_z, dropped_d = masks.next(x.numel(), h.numel(), grad.numel())
            z = _activate(h, after_E)
            _zero(_flat(z), dropped_z)
            w = torch.addmm(z, z, M.T, beta=0, alpha=scale_z)

            d, flat = _block(grad, dtype)
            grad_d = _slope(grad.to(dtype), torch.mm(w, D.T, out=d), after_D, out=d)
            _zero(flat, dropped_d)
            grad_D.addmm_(w.T, grad_d, alpha=scaling * scale_d)
            grad_w = torch.addmm(w, grad_d, D, beta=0, alpha=scaling * scale_d, out=w)

            grad_M.addmm_(grad_w.T, z, alpha=scale_z)
            grad_z = torch.addmm(z, grad_w, M, beta=0, alpha=scale_z * scale_x, out=z)
            _zero(_flat(grad_z), dropped_z)
            grad_h = _slope(grad_z, h, after_E)

            block, flat = _block(x, dtype)
            block.copy_(x)
            _zero(flat, dropped_x)
            grad_E.addmm_(grad_h.T, block)
            if need_x and x.dtype == dtype:
                _zero(_flat(torch.mm(grad_h, E, out=out)), dropped_x)
            elif need_x:
                torch.mm(grad_h, E, out=block)
                _zero(flat, dropped_x)
                out.copy_(block)
    return grad_x, *_cast(weights, grad_E, grad_M, grad_D.T.contiguous())


def masks(seed: Tensor, tokens: int, widths: tuple[int, int, int], dropouts) -> list[Tensor]:
    """What is multiplied with x [tokens, in], z [tokens, r] and d [tokens, out]; fp64."""
    drawn = Masks(seed, dropouts)
    scales = zip(widths, drawn.scales, strict=True)
    result = [torch.full((tokens, w), scale, dtype=torch.float64) for w, scale in scales]
    for block in _blocks(*result):
        dropped = drawn.next(*(mask.numel() for mask in block))
        for mask, indices in zip(block, dropped, strict=True):
            if indices is not None:
                mask.view(-1)[indices] = 0
    return result


class Masks:
    """The dropouts of a layer, asked block by block, in the same order in both passes.

    Each element is dropped with exactly the probability p, independently of all others: the number
    of elements kept between two dropped ones is geometric, so that at p = 0.05 only a twentieth of
    the elements cost a random number.
    """

    def __init__(self, seed: Tensor | None, dropouts: Sequence[float]):
        """``dropouts``: p of each. Without a seed nothing is dropped."""
        self._dropouts = [0.0] * len(dropouts) if seed is None else dropouts
        self.scales = [1 / (1 - p) for p in self._dropouts]
        self._bits = np.random.SFC64(_Words(int(seed))) if any(self._dropouts) else None

    def next(self, *sizes: int) -> list[np.ndarray | None]:
        """For each dropout: ascending indices of what to drop of its next ``size`` elements.

        None: nothing.
        """
        pairs = zip(self._dropouts, sizes, strict=True)
        return [self._draw(p, size) if p else None for p, size in pairs]

    def _draw(self, p: float, size: int) -> np.ndarray:
        stretch = 1 / math.log1p(-max(p, 1e-12))  # what it stretches must not overflow
        found, last = [], -1
        while last < size:
            expected = p * (size - last)
            count = int(expected + 4 * math.sqrt(expected)) + 4
            u = self._bits.random_raw(-(-count // 2)).view(np.uint32).astype(np.float32)
            u += 0.5
            u *= 2**-32
            # P(⌊ln u / ln(1 - p)⌋ >= k) = (1 - p)^k elements are kept, then one is dropped
            np.log(u, out=u)
            u *= stretch
            u += 1
            steps = u.astype(np.int64)
            steps[0] += last
            found.append(np.cumsum(steps, out=steps))
            last = steps[-1]
        indices = found[0] if len(found) == 1 else np.concatenate(found)
        return indices[: indices.searchsorted(size)]


class _Words(ISeedSequence):
    """Seeds SFC64, which warms up by itself, with these words; numpy's hash of them takes 20 µs."""

    def __init__(self, *words: int):
        self.words = words

    def generate_state(self, n_words: int, dtype=np.uint32) -> np.ndarray:
        return np.array((*self.words, *[0] * (n_words - len(self.words))), dtype)


def block_rows(tokens: int, features: int) -> int:
    """How many of the rows of [tokens, features] are worked on at a time.

    Of the shape alone, never of the machine: the masks are drawn block by block in both passes.
    """
    count = -(-tokens // max(1, BLOCK_ELEMENTS // features))
    return -(-tokens // max(1, count))


def _blocks(*values: Tensor) -> Iterable[Sequence[Tensor]]:
    """Each [..., features] as [tokens, features], the same block of rows of all at a time."""
    values = [tensor.reshape(-1, tensor.shape[-1]) for tensor in values]
    tokens = len(values[0])
    rows = block_rows(tokens, max(tensor.shape[1] for tensor in values))
    if rows == tokens:
        return [values]
    return zip(*(tensor.split(rows) for tensor in values), strict=True)


def _cast(dtype: torch.dtype, *values: Tensor) -> list[Tensor]:
    # asking is much cheaper than .to() of what has the dtype
    return [tensor if tensor.dtype == dtype else tensor.to(dtype) for tensor in values]


def _no_autocast() -> AbstractContextManager:
    if torch.is_autocast_enabled("cpu"):
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


def _block(like: Tensor, dtype: torch.dtype) -> tuple[Tensor, np.ndarray]:
    """Memory for a block [rows, features] and the same as a flat array, which may be longer.

    The same memory each time: fresh memory costs page faults.
    """
    store = getattr(_memory, "store", None)
    if store is None or store.dtype != dtype or len(store) < like.numel():
        with torch.inference_mode(False):  # usable in training, too, whoever comes first
            store = torch.empty(max(like.numel(), BLOCK_ELEMENTS), dtype=dtype)
        _memory.store, _memory.flat = store, store.numpy()
    return store[: like.numel()].view(like.shape), _memory.flat


def _flat(values: Tensor) -> np.ndarray:
    return values.numpy().reshape(-1)


def _zero(flat: np.ndarray, dropped: np.ndarray | None) -> None:
    if dropped is not None:
        flat[dropped] = 0  # two thirds of the time of torch's index_fill_


def _activate(values: Tensor, activation: str, out: Tensor | None = None) -> Tensor:
    """See ACTIVATIONS of ``layer.py``; in new memory, or in ``out``, which may be ``values``."""
    if activation in ("gelu", "silu"):
        return getattr(torch._C._nn, activation)(values, out=out)  # F.silu takes no out
    out = values.clone() if out is None else out
    return out.clamp_(min=0) if activation == "relu" else out


def _slope(grad: Tensor, values: Tensor, activation: str, out: Tensor | None = None) -> Tensor:
    """The activation's backward pass at ``values``; memory as in ``_activate``."""
    if activation in ("gelu", "silu"):
        backward = getattr(torch.ops.aten, f"{activation}_backward")
        if out is None:
            return backward.default(grad, values)
        return backward.grad_input(grad, values, grad_input=out)
    if activation == "relu":
        return torch.heaviside(values, values.new_tensor(0.5), out=out).mul_(grad)
    return grad.clone() if out is None else out.copy_(grad)
