"""The operator of functional.py on a CPU: a block of rows at a time, in the same memory."""

from __future__ import annotations

import math
import threading

import numpy as np
import torch
from numpy.random.bit_generator import ISeedSequence
from torch import Tensor

BLOCK_ELEMENTS = 2**19  # as fast as smaller ones, which stay in the cache but take more calls
_memory = threading.local()


def add(y, h, x, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d) -> None:
    """Add the branch to y, contiguous, and fill h [tokens, r] with E · drop(x)."""
    drop_x, drop_z, drop_d = (Dropout(seed, *at) for at in enumerate((on_x, on_z, on_d)))
    dtype = h.dtype
    E, M, D = E.to(dtype), M.to(dtype), D.to(dtype)
    x, y = _rows(x), _rows(y)
    scale = scaling * drop_d.scale

    with torch.autocast("cpu", enabled=False):
        for rows in blocks(*x.shape):
            block = _block(x[rows], dtype).copy_(x[rows])
            torch.mm(_zero(block, drop_x.next(block.numel())), E.T, out=h[rows])
        h *= drop_x.scale
        w = _core(h, M, after_E, drop_z)[1]
        for rows in blocks(*y.shape):
            d = torch.mm(w[rows], D.T, out=_block(y[rows], dtype))
            _zero(_activate(d, after_D), drop_d.next(d.numel()))
            y[rows].add_(d, alpha=scale)


def gradients(
    grad, x, h, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d, need_x
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x (empty unless ``need_x``), E, M and D from that of the sum."""
    drop_x, drop_z, drop_d = (Dropout(seed, *at) for at in enumerate((on_x, on_z, on_d)))
    weights, dtype = E.dtype, h.dtype
    E, M, D = E.to(dtype), M.to(dtype), D.to(dtype)
    x_rows, grad = _rows(x), _rows(grad)
    grad_x = x.new_empty(x.shape if need_x else 0)
    grad_w = torch.empty_like(h)
    # D's turned: that product is twice as fast
    grad_E, grad_D = torch.zeros_like(E), D.new_zeros(D.T.shape)

    with torch.autocast("cpu", enabled=False):
        z, w, dropped_z = _core(h, M, after_E, drop_z)
        for rows in blocks(*grad.shape):
            d = torch.mm(w[rows], D.T, out=_block(grad[rows], dtype))
            grad_d = _zero(_slope(grad[rows].to(dtype), d, after_D), drop_d.next(d.numel()))
            torch.mm(grad_d, D, out=grad_w[rows])
            grad_D.addmm_(w[rows].T, grad_d)
        grad_w *= scaling * drop_d.scale
        grad_D *= scaling * drop_d.scale

        grad_M = grad_w.T @ z
        grad_h = _zero(grad_w @ M, dropped_z).mul_(drop_z.scale * drop_x.scale)
        grad_h = _slope(grad_h, h.clone(), after_E)

        grad_x_rows = _rows(grad_x) if need_x else None
        for rows in blocks(*x_rows.shape):
            block = _block(x_rows[rows], dtype).copy_(x_rows[rows])
            dropped = drop_x.next(block.numel())
            grad_E.addmm_(grad_h[rows].T, _zero(block, dropped))
            if need_x:
                out = grad_x_rows[rows]
                if x.dtype == dtype:
                    _zero(torch.mm(grad_h[rows], E, out=out), dropped)
                else:
                    out.copy_(_zero(grad_h[rows] @ E, dropped))
    return grad_x, grad_E.to(weights), grad_M.to(weights), grad_D.T.to(weights).contiguous()


class Dropout:
    """One of the three dropouts, asked for its mask block by block, in the same order each time.

    Each element is dropped with exactly the probability p, independently of all others: the number
    of elements kept between two dropped ones is geometric, so that at p = 0.05 only a twentieth of
    the elements cost a random number.
    """

    def __init__(self, seed: Tensor | None, place: int, p: float):
        """``place``: the number in DROPOUTS of ``layer.py``. Without a seed nothing is dropped."""
        self.p = 0.0 if seed is None else p
        self.scale = 1 / (1 - self.p)
        if self.p:
            self._bits = np.random.SFC64(_Words(int(seed), place))
            self._stretch = 1 / math.log1p(-max(p, 1e-12))  # what it stretches must not overflow

    def next(self, size: int) -> np.ndarray | None:
        """Ascending indices of what to drop of the next ``size`` elements; None: nothing."""
        if not self.p:
            return None
        found, last = [], -1
        while last < size:
            expected = self.p * (size - last)
            count = int(expected + 4 * math.sqrt(expected)) + 4
            u = self._bits.random_raw(-(-count // 2)).view(np.uint32).astype(np.float32)
            u += 0.5
            u *= 2**-32
            # P(⌊ln u / ln(1 - p)⌋ >= k) = (1 - p)^k elements are kept, then one is dropped
            np.log(u, out=u)
            u *= self._stretch
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


def blocks(tokens: int, features: int) -> list[slice]:
    """The rows of [tokens, features] that are worked on at a time.

    Of the shape alone, never of the machine: the masks are drawn block by block in both passes.
    """
    rows = max(1, BLOCK_ELEMENTS // features)
    return [slice(start, min(start + rows, tokens)) for start in range(0, tokens, rows)]


def _rows(values: Tensor) -> Tensor:
    """[..., features] → [tokens, features]"""
    return values.reshape(-1, values.shape[-1])


def _core(
    h: Tensor, M: Tensor, after_E: str, drop_z: Dropout
) -> tuple[Tensor, Tensor, np.ndarray | None]:
    """z [tokens, r] = drop(act(h)), M · z, and what was dropped."""
    dropped = drop_z.next(h.numel())
    z = _zero(_activate(h.clone(), after_E), dropped).mul_(drop_z.scale)
    return z, z @ M.T, dropped


def _block(like: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory for a block [rows, features], the same each time: fresh memory costs page faults."""
    store = getattr(_memory, "store", None)
    if store is None or store.dtype != dtype or store.numel() < like.numel():
        with torch.inference_mode(False):  # usable in training, too, whoever comes first
            store = torch.empty(max(like.numel(), BLOCK_ELEMENTS), dtype=dtype)
        _memory.store = store
    return store[: like.numel()].view(like.shape)


def _zero(values: Tensor, dropped: np.ndarray | None) -> Tensor:
    """The dropped elements zeroed, in place."""
    if dropped is not None:
        values.numpy().reshape(-1)[dropped] = 0  # two thirds of the time of index_fill_
    return values


def _activate(values: Tensor, activation: str) -> Tensor:
    """In place; see ACTIVATIONS of ``layer.py``."""
    if activation == "gelu":
        return torch.ops.aten.gelu_.default(values)
    if activation == "silu":
        return torch.ops.aten.silu_.default(values)
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
