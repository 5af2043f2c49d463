"""The operator of functional.py on a GPU, in Triton: each tensor of a feature's width is read once.

Two kernels forward, three backward. A kernel draws its own masks, by Philox from (seed, place,
row, column), so that both passes see the same ones and no order matters. Rows are tokens. What many
programs add to, the gradients of E, D and M · z, is written in parts and summed by torch, so that
results are reproducible.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

ACTIVATION = {"identity": 0, "gelu": 1, "silu": 2, "relu": 3}
ROWS, COLUMNS = 32, 128  # of a tile
SLABS = 8  # parts that the tokens are summed in


def add(y, h, x, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d) -> None:
    """Add the branch to y, contiguous, and fill h [tokens, r] with E · drop(x)."""
    x, y = _rows(x), _rows(y)
    options = _options(h, y, seed, after_E, after_D, on_x, on_z, on_d)
    if not len(h):
        return
    seed = h if seed is None else seed  # a pointer that no kernel follows
    rows = triton.cdiv(len(h), ROWS)
    E, M, D = (weight.contiguous() for weight in (E, M, D))
    with torch.cuda.device_of(x):
        _encode[(rows,)](x, E, h, seed, len(h), E.shape[1], len(E), **options)
        grid = rows, triton.cdiv(len(D), COLUMNS)
        _decode[grid](y, h, M, D, seed, len(h), len(D), len(E), float(scaling), **options)


def gradients(
    grad, x, h, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d, need_x
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x (empty unless ``need_x``), E, M and D from that of the sum."""
    x_rows, grad = _rows(x), _rows(grad)
    options = _options(h, grad, seed, after_E, after_D, on_x, on_z, on_d)
    grad_x = (
        torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0)
    )
    if not len(h):
        return grad_x, *map(torch.zeros_like, (E, M, D))
    seed = h if seed is None else seed
    (tokens, r), (out, in_) = h.shape, (len(D), E.shape[1])
    E, M, D = (weight.contiguous() for weight in (E, M, D))
    slab = ROWS * triton.cdiv(tokens, ROWS * SLABS)
    slabs, tiles = triton.cdiv(tokens, slab), triton.cdiv(out, COLUMNS)

    parts_w, parts_D = h.new_empty(tiles, tokens, r), h.new_empty(slabs, out, r)
    parts_E, z, grad_h = h.new_empty(slabs, r, in_), torch.empty_like(h), torch.empty_like(h)
    with torch.cuda.device_of(x):
        sizes = tokens, out, r, slab, float(scaling)
        grid = tiles, slabs
        _decode_backward[grid](grad, h, M, D, parts_w, parts_D, seed, *sizes, **options)
        grad_w = parts_w.sum(0)
        grid = (triton.cdiv(tokens, ROWS),)
        _core_backward[grid](grad_w, h, M, z, grad_h, seed, tokens, r, **options)
        grid, sizes = (triton.cdiv(in_, COLUMNS), slabs), (tokens, in_, r, slab)
        _encode_backward[grid](x_rows, E, grad_h, grad_x, parts_E, seed, *sizes, need_x, **options)
    grads = parts_E.sum(0), grad_w.T @ z, parts_D.sum(0)
    return grad_x, *(g.to(weight.dtype) for g, weight in zip(grads, (E, M, D), strict=True))


def threshold(seed: Tensor | None, p: float) -> int:
    """Of 2^16 values, how many drop an element: the rate is p to 2^-17."""
    return 0 if seed is None else min(round(p * 2**16), 2**16 - 1)


def masks(seed: Tensor, tokens: int, widths: tuple[int, int, int], dropouts) -> list[Tensor]:
    """What the kernels multiply x [tokens, in], z [tokens, r] and d [tokens, out] by."""
    result = []
    for place, (width, p) in enumerate(zip(widths, dropouts, strict=True)):
        mask = torch.empty(tokens, width, device=seed.device)
        grid = triton.cdiv(tokens, ROWS), triton.cdiv(width, COLUMNS)
        _mask[grid](mask, seed, place, tokens, width, threshold(seed, p), ROWS, COLUMNS)
        result.append(mask)
    return result


def _rows(values: Tensor) -> Tensor:
    return values.reshape(-1, values.shape[-1]).contiguous()


def _options(h, half, seed, after_E, after_D, on_x, on_z, on_d) -> dict:
    """A base in half precision has no more digits than tf32 keeps."""
    half = half.dtype.itemsize < 4 or torch.backends.cuda.matmul.allow_tf32
    return {
        "X": threshold(seed, on_x),
        "Z": threshold(seed, on_z),
        "D_": threshold(seed, on_d),
        "AFTER_E": ACTIVATION[after_E],
        "AFTER_D": ACTIVATION[after_D],
        "R": max(16, triton.next_power_of_2(h.shape[1])),
        "BN": ROWS,
        "BK": COLUMNS,
        "PRECISION": "tf32" if half else "ieee",
    }


@triton.jit
def _activate(v, KIND: tl.constexpr):
    if KIND == 1:
        return 0.5 * v * (1 + tl.erf(v * 0.7071067811865476))
    elif KIND == 2:
        return v * tl.sigmoid(v)
    elif KIND == 3:
        return tl.maximum(v, 0.0)
    else:
        return v


@triton.jit
def _slope(v, KIND: tl.constexpr):
    if KIND == 1:
        density = 0.3989422804014327 * tl.exp(-0.5 * v * v)
        return 0.5 * (1 + tl.erf(v * 0.7071067811865476)) + v * density
    elif KIND == 2:
        s = tl.sigmoid(v)
        return s * (1 + v * (1 - s))
    elif KIND == 3:
        return tl.where(v > 0, 1.0, tl.where(v == 0, 0.5, 0.0))
    else:
        return v * 0 + 1


@triton.jit
def _kept(seed, place, rows, column, DROP: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """1 / (1 - p) or 0 for a tile [BN, BK] that starts at ``column``, a multiple of 8.

    One Philox call gives eight elements 16 bits each.
    """
    eighths = column // 8 + tl.arange(0, BK // 8)
    zero = tl.zeros([BN, BK // 8], tl.int32)
    c0 = (zero + eighths[None, :]).to(tl.uint32)
    c1 = (zero + rows[:, None]).to(tl.uint32)
    c2 = (zero + place).to(tl.uint32)
    a, b, c, d = tl.philox(tl.load(seed), c0, c1, c2, zero.to(tl.uint32), n_rounds=7)
    ab, cd = tl.interleave(a, b), tl.interleave(c, d)
    words = tl.interleave(ab, cd)
    halves = tl.interleave(words & 0xFFFF, words >> 16)
    return tl.where(halves >= DROP, 65536 / (65536 - DROP), 0.0)


@triton.jit
def _mask(mask, seed, place, tokens, width, DROP: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * BN + tl.arange(0, BN)
    column = tl.program_id(1) * BK
    columns = column + tl.arange(0, BK)
    inside = (rows[:, None] < tokens) & (columns[None, :] < width)
    at = rows[:, None].to(tl.int64) * width + columns[None, :]
    tl.store(mask + at, _kept(seed, place, rows, column, DROP, BN, BK), mask=inside)


@triton.jit
def _load(values, rows, columns, height, width):
    """A tile as fp32, zero outside."""
    inside = (rows[:, None] < height) & (columns[None, :] < width)
    at = rows[:, None].to(tl.int64) * width + columns[None, :]
    return tl.load(values + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store(values, tile, rows, columns, height, width):
    inside = (rows[:, None] < height) & (columns[None, :] < width)
    at = rows[:, None].to(tl.int64) * width + columns[None, :]
    tl.store(values + at, tile.to(values.dtype.element_ty), mask=inside)


@triton.jit
def _z(h, seed, rows, AFTER_E: tl.constexpr, Z: tl.constexpr, BN: tl.constexpr, R: tl.constexpr):
    z = _activate(h, AFTER_E)
    if Z > 0:
        z *= _kept(seed, 1, rows, 0, Z, BN, R)
    return z


@triton.jit
def _encode(
    x, E, h, seed, tokens, in_, r,
    X: tl.constexpr, Z: tl.constexpr, D_: tl.constexpr,
    AFTER_E: tl.constexpr, AFTER_D: tl.constexpr,
    R: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """h = E · drop(x)"""
    rows, ranks = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, R)
    total = tl.zeros([BN, R], tl.float32)
    for column in range(0, in_, BK):
        columns = column + tl.arange(0, BK)
        tile = _load(x, rows, columns, tokens, in_)
        if X > 0:
            tile *= _kept(seed, 0, rows, column, X, BN, BK)
        e = _load(E, ranks, columns, r, in_)
        total += tl.dot(tile, tl.trans(e), input_precision=PRECISION)
    _store(h, total, rows, ranks, tokens, r)


@triton.jit
def _decode(
    y, h, M, D, seed, tokens, out, r, scaling,
    X: tl.constexpr, Z: tl.constexpr, D_: tl.constexpr,
    AFTER_E: tl.constexpr, AFTER_D: tl.constexpr,
    R: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """y += scaling · drop(act(D · M · z))"""
    rows, ranks = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, R)
    column = tl.program_id(1) * BK
    columns = column + tl.arange(0, BK)
    z = _z(_load(h, rows, ranks, tokens, r), seed, rows, AFTER_E, Z, BN, R)
    w = tl.dot(z, tl.trans(_load(M, ranks, ranks, r, r)), input_precision=PRECISION)
    d = tl.dot(w, tl.trans(_load(D, columns, ranks, out, r)), input_precision=PRECISION)
    d = scaling * _activate(d, AFTER_D)
    if D_ > 0:
        d *= _kept(seed, 2, rows, column, D_, BN, BK)
    _store(y, _load(y, rows, columns, tokens, out) + d, rows, columns, tokens, out)


@triton.jit
def _decode_backward(
    grad, h, M, D, parts_w, parts_D, seed, tokens, out, r, slab, scaling,
    X: tl.constexpr, Z: tl.constexpr, D_: tl.constexpr,
    AFTER_E: tl.constexpr, AFTER_D: tl.constexpr,
    R: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Parts of the gradients of M · z (one for each tile of columns) and D (one for each slab)."""
    tile, part, ranks = tl.program_id(0), tl.program_id(1), tl.arange(0, R)
    column = tile * BK
    columns = column + tl.arange(0, BK)
    D_tile, M_all = _load(D, columns, ranks, out, r), _load(M, ranks, ranks, r, r)
    total = tl.zeros([BK, R], tl.float32)
    for start in range(part * slab, min((part + 1) * slab, tokens), BN):
        rows = start + tl.arange(0, BN)
        z = _z(_load(h, rows, ranks, tokens, r), seed, rows, AFTER_E, Z, BN, R)
        w = tl.dot(z, tl.trans(M_all), input_precision=PRECISION)
        d = tl.dot(w, tl.trans(D_tile), input_precision=PRECISION)
        grad_d = scaling * _load(grad, rows, columns, tokens, out) * _slope(d, AFTER_D)
        if D_ > 0:
            grad_d *= _kept(seed, 2, rows, column, D_, BN, BK)
        total += tl.dot(tl.trans(grad_d), w, input_precision=PRECISION)
        grad_w = tl.dot(grad_d, D_tile, input_precision=PRECISION)
        _store(parts_w + tile.to(tl.int64) * tokens * r, grad_w, rows, ranks, tokens, r)
    _store(parts_D + part.to(tl.int64) * out * r, total, columns, ranks, out, r)


@triton.jit
def _core_backward(
    grad_w, h, M, z, grad_h, seed, tokens, r,
    X: tl.constexpr, Z: tl.constexpr, D_: tl.constexpr,
    AFTER_E: tl.constexpr, AFTER_D: tl.constexpr,
    R: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """z again, and the gradient of h."""
    rows, ranks = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, R)
    h_tile = _load(h, rows, ranks, tokens, r)
    _store(z, _z(h_tile, seed, rows, AFTER_E, Z, BN, R), rows, ranks, tokens, r)
    grad = _load(grad_w, rows, ranks, tokens, r)
    grad = tl.dot(grad, _load(M, ranks, ranks, r, r), input_precision=PRECISION)
    if Z > 0:
        grad *= _kept(seed, 1, rows, 0, Z, BN, R)
    _store(grad_h, grad * _slope(h_tile, AFTER_E), rows, ranks, tokens, r)


@triton.jit
def _encode_backward(
    x, E, grad_h, grad_x, parts_E, seed, tokens, in_, r, slab, NEED_X: tl.constexpr,
    X: tl.constexpr, Z: tl.constexpr, D_: tl.constexpr,
    AFTER_E: tl.constexpr, AFTER_D: tl.constexpr,
    R: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and parts of that of E (one for each slab)."""
    part, ranks = tl.program_id(1), tl.arange(0, R)
    column = tl.program_id(0) * BK
    columns = column + tl.arange(0, BK)
    e = _load(E, ranks, columns, r, in_)
    total = tl.zeros([R, BK], tl.float32)
    for start in range(part * slab, min((part + 1) * slab, tokens), BN):
        rows = start + tl.arange(0, BN)
        grad = _load(grad_h, rows, ranks, tokens, r)
        x_tile, back = (
            _load(x, rows, columns, tokens, in_),
            tl.dot(grad, e, input_precision=PRECISION),
        )
        if X > 0:
            kept = _kept(seed, 0, rows, column, X, BN, BK)
            x_tile, back = x_tile * kept, back * kept
        total += tl.dot(tl.trans(grad), x_tile, input_precision=PRECISION)
        if NEED_X:
            _store(grad_x, back, rows, columns, tokens, in_)
    _store(parts_E + part.to(tl.int64) * r * in_, total, ranks, columns, r, in_)
