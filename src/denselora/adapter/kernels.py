"""The operator of functional.py on a GPU, in Triton: each tensor of a feature's width is read once.

    forward     encode, encoded, [M], decode
    backward    encoded, [M], decode_backward, [M], encoded_backward, encode_backward

[M]: torch multiplies r-vectors by M. A kernel draws its own masks, by Philox from (seed, place,
row, column), so that both passes see the same ones and no order matters. Rows are tokens. What many
programs add to is written in parts and summed by torch, so that results are reproducible.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

ACTIVATION = {"identity": 0, "gelu": 1, "silu": 2, "relu": 3}
PROGRAMS = 256  # a kernel's work is divided into about so many, for a GPU of a hundred processors
SLABS = 8  # parts that the tokens are summed in


def add(y, h, x, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d) -> None:
    """Add the branch to y, contiguous, and fill h [tokens, r] with E · drop(x)."""
    if not len(h):
        return
    x, y, E, D = _rows(x), _rows(y), E.contiguous(), D.contiguous()
    (tokens, r), (out, in_) = h.shape, (len(D), E.shape[1])
    tile, tiling = _tiling(r, y.dtype)
    blocks = triton.cdiv(tokens, tile)
    width = _divide(in_, tile, triton.cdiv(PROGRAMS, blocks))
    parts_h = h.new_empty(triton.cdiv(in_, width), tokens, r)
    with torch.cuda.device_of(x), torch.autocast("cuda", enabled=False):
        grid, sizes = (blocks, len(parts_h)), (tokens, in_, r, width)
        _encode[grid](x, E, parts_h, *sizes, *_dropout(h, seed, on_x), **tiling)
        torch.sum(parts_h, 0, out=h)
        w = _z(h, seed, after_E, on_z) @ M.T.to(h.dtype)
        grid, sizes = (blocks, triton.cdiv(out, tile)), (tokens, out, r, float(scaling))
        _decode[grid](y, w, D, *sizes, ACTIVATION[after_D], *_dropout(h, seed, on_d), **tiling)


def gradients(
    grad, x, h, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d, need_x
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x (empty unless ``need_x``), E, M and D from that of the sum."""
    shape = x.shape if need_x else (0,)
    grad_x = torch.empty(shape, dtype=x.dtype, device=x.device)
    if not len(h):
        return grad_x, *map(torch.zeros_like, (E, M, D))
    x, grad, E, D = _rows(x), _rows(grad), E.contiguous(), D.contiguous()
    (tokens, r), (out, in_), M_ = h.shape, (len(D), E.shape[1]), M.to(h.dtype)
    tile, tiling = _tiling(r, grad.dtype)
    slab = _divide(tokens, tile, SLABS)
    slabs = triton.cdiv(tokens, slab)
    width = _divide(out, tile, triton.cdiv(PROGRAMS, slabs))
    parts_w = h.new_empty(triton.cdiv(out, width), tokens, r)
    parts_D, parts_E = h.new_empty(slabs, out, r), h.new_empty(slabs, r, in_)
    with torch.cuda.device_of(x), torch.autocast("cuda", enabled=False):
        z = _z(h, seed, after_E, on_z)
        grid, sizes = (len(parts_w), slabs), (tokens, out, r, slab, width, float(scaling))
        options = ACTIVATION[after_D], *_dropout(h, seed, on_d)
        _decode_backward[grid](grad, z @ M_.T, D, parts_w, parts_D, *sizes, *options, **tiling)
        grad_w = parts_w.sum(0)
        grad_h = _z(h, seed, after_E, on_z, grad_w @ M_)
        grid, sizes = (triton.cdiv(in_, tile), slabs), (tokens, in_, r, slab)
        options = need_x, *_dropout(h, seed, on_x)
        _encode_backward[grid](x, E, grad_h, grad_x, parts_E, *sizes, *options, **tiling)
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
        grid = triton.cdiv(tokens, 64), triton.cdiv(width, 64)
        _mask[grid](mask, tokens, width, place, *_dropout(mask, seed, p), 64)
        result.append(mask)
    return result


def _rows(values: Tensor) -> Tensor:
    return values.reshape(-1, values.shape[-1]).contiguous()


def _z(h, seed, after_E, on_z, grad=None) -> Tensor:
    """drop(act(h)), or with the gradient of that, the gradient of h."""
    result = torch.empty_like(h)
    (tokens, r), backward = h.shape, grad is not None
    grid = triton.cdiv(tokens, 64), triton.cdiv(r, 64)
    options = backward, ACTIVATION[after_E], *_dropout(h, seed, on_z), 64
    _encoded[grid](h, grad if backward else h, result, tokens, r, *options)
    return result


def _dropout(h, seed, p) -> tuple[Tensor, int]:
    return h if seed is None else seed, threshold(seed, p)  # no kernel follows h


def _divide(width: int, tile: int, parts: int) -> int:
    """A whole number of tiles, of which about ``parts`` make up the width."""
    return tile * triton.cdiv(width, tile * parts)


def _tiling(r: int, half: torch.dtype) -> tuple[int, dict]:
    """The side of a tile, and what kernels with products need to know.

    Tiles shrink as the rank grows, to fit into registers and into 99 KB of shared memory, which is
    what consumer GPUs have. A base in half precision has no more digits than tf32 keeps.
    """
    r = max(16, triton.next_power_of_2(r))
    exact = half.itemsize == 4 and not torch.backends.cuda.matmul.allow_tf32
    tile = max(16, min(64, (2048 if exact else 4096) // r))
    precision = "tf32x3" if exact else "tf32"
    return tile, {"R": r, "B": tile, "PRECISION": precision, "num_stages": 2}


@triton.jit
def _normal(v):
    """How much of the normal distribution lies beyond |v|, to 1e-7, and its density at v.

    Abramowitz and Stegun, 7.1.26, at |v| / √2. With tl.erf it takes twice the instructions.
    """
    bell = tl.exp2(-0.7213475204444817 * v * v)
    root = tl.rsqrt(1 + 0.231641888 * tl.abs(v))
    t = root * root  # a division takes four instructions
    p = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    return 0.5 * p * bell, 0.3989422804014327 * bell


@triton.jit
def _activate(v, KIND: tl.constexpr):
    if KIND == 1:
        tail, _ = _normal(v)
        return tl.maximum(v, 0.0) - tl.abs(v) * tail
    elif KIND == 2:
        return v * tl.sigmoid(v)
    elif KIND == 3:
        return tl.maximum(v, 0.0)
    else:
        return v


@triton.jit
def _slope(v, KIND: tl.constexpr):
    if KIND == 1:
        tail, density = _normal(v)
        return tl.where(v < 0, tail, 1 - tail) + v * density
    elif KIND == 2:
        s = tl.sigmoid(v)
        return s * (1 + v * (1 - s))
    elif KIND == 3:
        return tl.where(v > 0, 1.0, tl.where(v == 0, 0.5, 0.0))
    else:
        return v * 0 + 1


@triton.jit
def _drop(tile, seed, place, rows, column, DROP: tl.constexpr, B: tl.constexpr):
    """A tile [B, B] that starts at ``column``, a multiple of 8, with its dropped elements zeroed.

    The kept ones are not scaled. One Philox call gives eight elements 16 bits each.
    """
    if DROP > 0:  # no return before: Triton compiles what comes after it
        eighths = column // 8 + tl.arange(0, B // 8)
        zero = tl.zeros([B, B // 8], tl.int32)
        c0 = (zero + eighths[None, :]).to(tl.uint32)
        c1 = (zero + rows[:, None]).to(tl.uint32)
        c2 = (zero + place).to(tl.uint32)
        a, b, c, d = tl.philox(tl.load(seed), c0, c1, c2, zero.to(tl.uint32), n_rounds=7)
        words = tl.interleave(tl.interleave(a, b), tl.interleave(c, d))
        # of a whole word the upper half decides
        kept = tl.interleave(words << 16, words) >= (DROP << 16)
        tile = tl.where(kept, tile, 0.0)
    return tile


@triton.jit
def _scale(DROP: tl.constexpr):
    return 65536 / (65536 - DROP)


@triton.jit
def _mask(mask, tokens, width, place, seed, DROP: tl.constexpr, B: tl.constexpr):
    rows, column = tl.program_id(0) * B + tl.arange(0, B), tl.program_id(1) * B
    kept = _drop(tl.full([B, B], _scale(DROP), tl.float32), seed, place, rows, column, DROP, B)
    _store(mask, kept, rows, column + tl.arange(0, B), tokens, width)


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
def _encode(
    x, E, parts_h, tokens, in_, r, width, seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Parts of h = E · drop(x), one for each ``width`` of x's columns."""
    part, ranks = tl.program_id(1), tl.arange(0, R)
    rows = tl.program_id(0) * B + tl.arange(0, B)
    total = tl.zeros([B, R], tl.float32)
    for column in range(part * width, min((part + 1) * width, in_), B):
        columns = column + tl.arange(0, B)
        tile = _load(x, rows, columns, tokens, in_)
        tile = _drop(tile, seed, 0, rows, column, DROP, B)
        e = _load(E, ranks, columns, r, in_)
        total += tl.dot(tile, tl.trans(e), input_precision=PRECISION)
    total *= _scale(DROP)
    _store(parts_h + part.to(tl.int64) * tokens * r, total, rows, ranks, tokens, r)


@triton.jit
def _encoded(
    h, grad_z, result, tokens, r, BACKWARD: tl.constexpr, AFTER: tl.constexpr,
    seed, DROP: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """z = drop(act(h)), or backward, the gradient of h from that of z."""
    rows, column = tl.program_id(0) * B + tl.arange(0, B), tl.program_id(1) * B
    columns = column + tl.arange(0, B)
    tile = _load(h, rows, columns, tokens, r)
    if BACKWARD:
        tile = _slope(tile, AFTER) * _load(grad_z, rows, columns, tokens, r)
    else:
        tile = _activate(tile, AFTER)
    tile = _drop(tile * _scale(DROP), seed, 1, rows, column, DROP, B)
    _store(result, tile, rows, columns, tokens, r)


@triton.jit
def _decode(
    y, w, D, tokens, out, r, scaling, AFTER: tl.constexpr, seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """y += scaling · drop(act(D · w))"""
    rows, ranks = tl.program_id(0) * B + tl.arange(0, B), tl.arange(0, R)
    column = tl.program_id(1) * B
    columns = column + tl.arange(0, B)
    w_tile, D_tile = _load(w, rows, ranks, tokens, r), _load(D, columns, ranks, out, r)
    d = tl.dot(w_tile, tl.trans(D_tile), input_precision=PRECISION)
    d = _drop(scaling * _scale(DROP) * _activate(d, AFTER), seed, 2, rows, column, DROP, B)
    _store(y, _load(y, rows, columns, tokens, out) + d, rows, columns, tokens, out)


@triton.jit
def _decode_backward(
    grad, w, D, parts_w, parts_D, tokens, out, r, slab, width, scaling,
    AFTER: tl.constexpr, seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Parts of the gradients of w (one for each ``width`` of columns) and of D (for each slab)."""
    group, part, ranks = tl.program_id(0), tl.program_id(1), tl.arange(0, R)
    part_w = parts_w + group.to(tl.int64) * tokens * r
    part_D = parts_D + part.to(tl.int64) * out * r
    for column in range(group * width, min((group + 1) * width, out), B):
        columns = column + tl.arange(0, B)
        D_tile = _load(D, columns, ranks, out, r)
        total = tl.zeros([B, R], tl.float32)
        for start in range(part * slab, min((part + 1) * slab, tokens), B):
            rows = start + tl.arange(0, B)
            w_tile = _load(w, rows, ranks, tokens, r)
            d = tl.dot(w_tile, tl.trans(D_tile), input_precision=PRECISION)
            grad_d = _load(grad, rows, columns, tokens, out) * _slope(d, AFTER)
            grad_d = _drop(scaling * _scale(DROP) * grad_d, seed, 2, rows, column, DROP, B)
            total += tl.dot(tl.trans(grad_d), w_tile, input_precision=PRECISION)
            grad_w = tl.dot(grad_d, D_tile, input_precision=PRECISION)
            if column > group * width:
                grad_w += _load(part_w, rows, ranks, tokens, r)
            _store(part_w, grad_w, rows, ranks, tokens, r)
        _store(part_D, total, columns, ranks, out, r)
        tl.debug_barrier()  # the next columns add to what other threads may have stored


@triton.jit
def _encode_backward(
    x, E, grad_h, grad_x, parts_E, tokens, in_, r, slab, NEED_X: tl.constexpr,
    seed, DROP: tl.constexpr, R: tl.constexpr, B: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and parts of that of E (one for each slab)."""
    part, ranks = tl.program_id(1), tl.arange(0, R)
    column = tl.program_id(0) * B
    columns = column + tl.arange(0, B)
    e = _load(E, ranks, columns, r, in_)
    total = tl.zeros([R, B], tl.float32)
    for start in range(part * slab, min((part + 1) * slab, tokens), B):
        rows = start + tl.arange(0, B)
        grad = _scale(DROP) * _load(grad_h, rows, ranks, tokens, r)
        tile = _drop(_load(x, rows, columns, tokens, in_), seed, 0, rows, column, DROP, B)
        back = tl.dot(grad, e, input_precision=PRECISION)
        back = _drop(back, seed, 0, rows, column, DROP, B)
        total += tl.dot(tl.trans(grad), tile, input_precision=PRECISION)
        if NEED_X:
            _store(grad_x, back, rows, columns, tokens, in_)
    _store(parts_E + part.to(tl.int64) * r * in_, total, ranks, columns, r, in_)
