"""The operator on a GPU, in Triton: each tensor of a feature's width is read once in a pass.

    forward     encode, core, decode
    backward    core, decode_backward, core_backward, encode_backward

Few kernels, because each costs the host more time than the GPU at a thousand tokens. A kernel draws
its own masks, by Philox from (seed, place, row, column), so that both passes see the same ones and
no order matters. Rows are tokens. What many programs add to is written in parts that are summed in
a fixed order, so that results repeat to the bit.
"""

from __future__ import annotations

import functools
import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from denselora.adapter.fused.operator import is_tf32_allowed

ACTIVATION = {"identity": 0, "gelu": 1, "silu": 2, "relu": 3}
PROGRAMS = 256  # a kernel's work is divided into about so many, for a GPU of a hundred processors
SLABS = 8  # parts that the tokens are summed in
# rows and columns of a tile at most, warps of a program, stages of its loads
TILES = {
    "encode": (64, 64, 4, 3),
    "core": (64, 64, 4, 2),
    "decode": (64, 64, 4, 2),
    "decode_backward": (64, 64, 4, 2),
    "encode_backward": (64, 64, 4, 2),
}


def add(y, h, x, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d) -> None:
    """Add the branch to y, contiguous, and fill h [tokens, r] with E · drop(x)."""
    if not len(h):
        return
    x, y, E, D = _rows(x), _rows(y), E.contiguous(), D.contiguous()
    (tokens, r), (out, in_) = h.shape, (len(D), E.shape[1])
    exact = _is_exact(y)
    with torch.cuda.device_of(x):
        tile = _tile("encode", r, exact)
        blocks = _count(tokens, tile["B"])
        width = _divide(in_, tile["C"], _count(PROGRAMS, blocks))
        parts = _count(in_, width)
        parts_h = h.new_empty(parts, tokens, r) if parts > 1 else h
        sizes, options = (tokens, in_, r, width), _dropout(h, seed, on_x)
        _encode[blocks, parts](x, E, parts_h, *sizes, *options, **tile)
        w = _core_forward(parts_h, h, M, after_E, seed, on_z)
        tile = _tile("decode", r, exact)
        grid = _count(tokens, tile["B"]), _count(out, tile["C"])
        sizes, options = (tokens, out, r, float(scaling)), _dropout(h, seed, on_d)
        _decode[grid](y, w, D, *sizes, ACTIVATION[after_D], *options, **tile)


def gradients(
    grad, x, h, E, M, D, seed, scaling, after_E, after_D, on_x, on_z, on_d, need_x
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x (empty unless ``need_x``), E, M and D from that of the sum."""
    shape = x.shape if need_x else (0,)
    grad_x = torch.empty(shape, dtype=x.dtype, device=x.device)
    if not len(h):
        return grad_x, *map(torch.zeros_like, (E, M, D))
    x, grad, E, D = _rows(x), _rows(grad), E.contiguous(), D.contiguous()
    (tokens, r), (out, in_), exact = h.shape, (len(D), E.shape[1]), _is_exact(grad)
    of_D, of_E = _tile("decode_backward", r, exact), _tile("encode_backward", r, exact)
    slab = _divide(tokens, max(of_D["B"], of_E["B"]), SLABS)
    slabs = _count(tokens, slab)
    width = _divide(out, of_D["C"], _count(PROGRAMS, slabs))
    groups = _count(out, width)
    parts_w = h.new_empty(groups, tokens, r)
    # of D's gradient and E's, side by side, to be summed at once
    parts = h.new_empty(slabs, out * r + r * in_)
    with torch.cuda.device_of(x):
        w = _core_forward(h, h, M, after_E, seed, on_z)
        sizes = tokens, out, r, slab, width, parts.shape[1], float(scaling)
        options = ACTIVATION[after_D], *_dropout(h, seed, on_d)
        _decode_backward[groups, slabs](grad, w, D, parts_w, parts, *sizes, *options, **of_D)
        grad_h, grad_M = _core_backward(parts_w, h, M, after_E, seed, on_z)
        grid = _count(in_, of_E["C"]), slabs
        sizes = tokens, in_, r, slab, parts.shape[1], out * r
        options = need_x, *_dropout(h, seed, on_x)
        _encode_backward[grid](x, E, grad_h, grad_x, parts, *sizes, *options, **of_E)
        grad_D, grad_E = parts.sum(0).split([out * r, r * in_])
    grads = grad_E.view(r, in_), grad_M, grad_D.view(out, r)
    return grad_x, *(g.to(weight.dtype) for g, weight in zip(grads, (E, M, D), strict=True))


def _core_forward(parts_h, h, M, after_E, seed, on_z) -> Tensor:
    """M · drop(act(h)) [tokens, r]. ``parts_h``: h, or parts whose sum h is filled with."""
    tokens, r = h.shape
    tile = _tile("core", r, True)
    w, parts = torch.empty_like(h), 1 if parts_h is h else len(parts_h)
    grid = _count(tokens, tile["B"]), _count(r, tile["C"])
    options = ACTIVATION[after_E], *_dropout(h, seed, on_z)
    _core[grid](parts_h, h, w, M.contiguous(), tokens, r, parts, *options, **tile)
    return w


def _core_backward(parts_w, h, M, after_E, seed, on_z) -> tuple[Tensor, Tensor]:
    """The gradients of h and of M, from the parts of that of w = M · drop(act(h))."""
    tokens, r = h.shape
    tile = _tile("core", r, True)
    slab = _divide(tokens, tile["B"], 2 * SLABS)
    slabs = _count(tokens, slab)
    grad_h, parts_M = torch.empty_like(h), h.new_empty(slabs, r, r)
    grid = _count(r, tile["C"]), slabs
    sizes, options = (
        (tokens, r, slab, len(parts_w)),
        (ACTIVATION[after_E], *_dropout(h, seed, on_z)),
    )
    _core_backward_kernel[grid](
        parts_w, h, M.contiguous(), grad_h, parts_M, *sizes, *options, **tile
    )
    return grad_h, parts_M.sum(0)


def threshold(seed: Tensor | None, p: float) -> int:
    """Of 2^16 values, how many drop an element: the rate is p to 2^-17."""
    return 0 if seed is None else min(round(p * 2**16), 2**16 - 1)


def masks(seed: Tensor, tokens: int, widths: tuple[int, int, int], dropouts) -> list[Tensor]:
    """What the kernels multiply x [tokens, in], z [tokens, r] and d [tokens, out] by."""
    result = []
    for place, (width, p) in enumerate(zip(widths, dropouts, strict=True)):
        mask = torch.empty(tokens, width, device=seed.device)
        grid = _count(tokens, 64), _count(width, 64)
        with torch.cuda.device_of(seed):
            _mask[grid](mask, tokens, width, place, *_dropout(mask, seed, p), 64)
        result.append(mask)
    return result


def _rows(values: Tensor) -> Tensor:
    return values.reshape(-1, values.shape[-1]).contiguous()


def _dropout(h, seed, p) -> tuple[Tensor, int]:
    return h if seed is None else seed, threshold(seed, p)  # no kernel follows h


def _count(width: int, part: int) -> int:
    return -(-width // part)


def _divide(width: int, tile: int, parts: int) -> int:
    """A whole number of tiles, of which about ``parts`` make up the width."""
    return tile * _count(width, tile * parts)


def _is_exact(base: Tensor) -> bool:
    """Whether products need all of fp32's digits; a base in half precision has fewer than TF32."""
    return base.dtype.itemsize == 4 and not is_tf32_allowed()


@functools.cache
def _tile(kernel: str, r: int, exact: bool) -> dict:
    """A tile of B rows and C columns, and what kernels with products need to know.

    Tiles shrink as the rank grows, to fit into registers and into 99 KB of shared memory, which is
    what consumer GPUs have.
    """
    R = max(16, 2 ** math.ceil(math.log2(r)))
    side = max(16, min(64, (2048 if exact else 4096) // R))
    rows, columns, warps, stages = TILES[kernel]
    return {
        "R": R,
        "B": min(rows, side),
        "C": min(R if kernel == "core" else columns, side),
        "PRECISION": "tf32x3" if exact else "tf32",
        "num_warps": warps,
        "num_stages": stages,
    }


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
def _drop(
    tile, seed, place, rows, column, DROP: tl.constexpr, B: tl.constexpr, W: tl.constexpr
):  # fmt: skip
    """A tile [B, W] that starts at ``column``, a multiple of 8, with its dropped elements zeroed.

    The kept ones are not scaled. One Philox call gives eight elements 16 bits each.
    """
    if DROP > 0:  # no return before: Triton compiles what comes after it
        eighths = column // 8 + tl.arange(0, W // 8)
        zero = tl.zeros([B, W // 8], tl.int32)
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
    kept = _drop(tl.full([B, B], _scale(DROP), tl.float32), seed, place, rows, column, DROP, B, B)
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
    R: tl.constexpr, B: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Parts of h = E · drop(x), one for each ``width`` of x's columns."""
    part, ranks = tl.program_id(1), tl.arange(0, R)
    rows = tl.program_id(0) * B + tl.arange(0, B)
    total = tl.zeros([B, R], tl.float32)
    for column in range(part * width, min((part + 1) * width, in_), C):
        columns = column + tl.arange(0, C)
        tile = _load(x, rows, columns, tokens, in_)
        tile = _drop(tile, seed, 0, rows, column, DROP, B, C)
        e = _load(E, ranks, columns, r, in_)
        total += tl.dot(tile, tl.trans(e), input_precision=PRECISION)
    total *= _scale(DROP)
    _store(parts_h + part.to(tl.int64) * tokens * r, total, rows, ranks, tokens, r)


@triton.jit
def _core(
    parts_h, h, w, M, tokens, r, parts, AFTER: tl.constexpr, seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """h from its parts, and w = M · drop(act(h)), a tile's width of w's columns."""
    rows, ranks = tl.program_id(0) * B + tl.arange(0, B), tl.arange(0, R)
    columns = tl.program_id(1) * C + tl.arange(0, C)
    total = _load(parts_h, rows, ranks, tokens, r)
    at = parts_h
    for _ in range(1, parts):
        at += tokens * r
        total += _load(at, rows, ranks, tokens, r)
    if (parts > 1) & (tl.program_id(1) == 0):
        _store(h, total, rows, ranks, tokens, r)
    z = _drop(_scale(DROP) * _activate(total, AFTER), seed, 1, rows, 0, DROP, B, R)
    m = _load(M, columns, ranks, r, r)
    _store(w, tl.dot(z, tl.trans(m), input_precision=PRECISION), rows, columns, tokens, r)


@triton.jit
def _core_backward_kernel(
    parts_w, h, M, grad_h, parts_M, tokens, r, slab, groups, AFTER: tl.constexpr,
    seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A tile's width of columns of h's gradient, and parts of M's (one for each slab)."""
    part, ranks = tl.program_id(1), tl.arange(0, R)
    column = tl.program_id(0) * C
    columns = column + tl.arange(0, C)
    m = _load(M, ranks, columns, r, r)
    total = tl.zeros([R, C], tl.float32)
    for start in range(part * slab, min((part + 1) * slab, tokens), B):
        rows = start + tl.arange(0, B)
        grad_w = _load(parts_w, rows, ranks, tokens, r)
        at = parts_w
        for _ in range(1, groups):
            at += tokens * r
            grad_w += _load(at, rows, ranks, tokens, r)
        v = _load(h, rows, columns, tokens, r)
        z = _drop(_scale(DROP) * _activate(v, AFTER), seed, 1, rows, column, DROP, B, C)
        grad = _scale(DROP) * tl.dot(grad_w, m, input_precision=PRECISION)
        grad = _drop(grad, seed, 1, rows, column, DROP, B, C)
        _store(grad_h, grad * _slope(v, AFTER), rows, columns, tokens, r)
        total += tl.dot(tl.trans(grad_w), z, input_precision=PRECISION)
    _store(parts_M + part.to(tl.int64) * r * r, total, ranks, columns, r, r)


@triton.jit
def _decode(
    y, w, D, tokens, out, r, scaling, AFTER: tl.constexpr, seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """y += scaling · drop(act(D · w))"""
    rows, ranks = tl.program_id(0) * B + tl.arange(0, B), tl.arange(0, R)
    column = tl.program_id(1) * C
    columns = column + tl.arange(0, C)
    w_tile, D_tile = _load(w, rows, ranks, tokens, r), _load(D, columns, ranks, out, r)
    d = tl.dot(w_tile, tl.trans(D_tile), input_precision=PRECISION)
    d = _drop(scaling * _scale(DROP) * _activate(d, AFTER), seed, 2, rows, column, DROP, B, C)
    _store(y, _load(y, rows, columns, tokens, out) + d, rows, columns, tokens, out)


@triton.jit
def _decode_backward(
    grad, w, D, parts_w, parts_D, tokens, out, r, slab, width, stride, scaling,
    AFTER: tl.constexpr, seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Parts of the gradients of w (one for each ``width`` of columns) and of D (for each slab)."""
    group, part, ranks = tl.program_id(0), tl.program_id(1), tl.arange(0, R)
    part_w = parts_w + group.to(tl.int64) * tokens * r
    part_D = parts_D + part.to(tl.int64) * stride
    for column in range(group * width, min((group + 1) * width, out), C):
        columns = column + tl.arange(0, C)
        D_tile = _load(D, columns, ranks, out, r)
        total = tl.zeros([C, R], tl.float32)
        for start in range(part * slab, min((part + 1) * slab, tokens), B):
            rows = start + tl.arange(0, B)
            w_tile = _load(w, rows, ranks, tokens, r)
            d = tl.dot(w_tile, tl.trans(D_tile), input_precision=PRECISION)
            grad_d = _load(grad, rows, columns, tokens, out) * _slope(d, AFTER)
            grad_d = _drop(scaling * _scale(DROP) * grad_d, seed, 2, rows, column, DROP, B, C)
            total += tl.dot(tl.trans(grad_d), w_tile, input_precision=PRECISION)
            grad_w = tl.dot(grad_d, D_tile, input_precision=PRECISION)
            if column > group * width:
                grad_w += _load(part_w, rows, ranks, tokens, r)
            _store(part_w, grad_w, rows, ranks, tokens, r)
        _store(part_D, total, columns, ranks, out, r)
        tl.debug_barrier()  # the next columns add to what other threads may have stored


@triton.jit
def _encode_backward(
    x, E, grad_h, grad_x, parts_E, tokens, in_, r, slab, stride, skipped, NEED_X: tl.constexpr,
    seed, DROP: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and parts of that of E (one for each slab)."""
    part, ranks = tl.program_id(1), tl.arange(0, R)
    column = tl.program_id(0) * C
    columns = column + tl.arange(0, C)
    e = _load(E, ranks, columns, r, in_)
    total = tl.zeros([R, C], tl.float32)
    for start in range(part * slab, min((part + 1) * slab, tokens), B):
        rows = start + tl.arange(0, B)
        grad = _scale(DROP) * _load(grad_h, rows, ranks, tokens, r)
        tile = _drop(_load(x, rows, columns, tokens, in_), seed, 0, rows, column, DROP, B, C)
        back = tl.dot(grad, e, input_precision=PRECISION)
        back = _drop(back, seed, 0, rows, column, DROP, B, C)
        total += tl.dot(tl.trans(grad), tile, input_precision=PRECISION)
        if NEED_X:
            _store(grad_x, back, rows, columns, tokens, in_)
    _store(parts_E + part.to(tl.int64) * stride + skipped, total, ranks, columns, r, in_)
