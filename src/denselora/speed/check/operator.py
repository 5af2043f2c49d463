"""The fused operator against the plain version, wherever a kernel could go wrong."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from denselora.adapter.fused import operator
from denselora.adapter.fused.choice import differences, operands, rounding
from denselora.adapter.layer import ACTIVATIONS, denselora_delta
from denselora.speed.check.finding import Finding, Place

GELU, P = ("gelu", "gelu"), (0.05, 0.05, 0.05)
FEATURES = (1000, 700)  # which no tile divides
SEED = 2**62 + 2**31 + 5


def fp32(place: Place) -> Iterator[Finding]:
    """Under an fp32 base: every rank, few and many tokens, with and without dropout."""
    yield from _base(place, torch.float32)


def bf16(place: Place) -> Iterator[Finding]:
    """The same under a bf16 base."""
    yield from _base(place, torch.bfloat16)


def fp16(place: Place) -> Iterator[Finding]:
    """The same under an fp16 base."""
    yield from _base(place, torch.float16)


def activations(place: Place) -> Iterator[Finding]:
    """Every activation, and two that differ."""
    for pair in (*((name, name) for name in ACTIVATIONS if name != "gelu"), ("gelu", "identity")):
        yield _compare(place, f"{pair[0]} and {pair[1]}", activations=pair)


def masks(place: Place) -> Iterator[Finding]:
    """Each mask's rate, and that masks of different places, layers and steps are independent."""
    tokens, width, p = place.sizes["mask_tokens"], place.sizes["mask_width"], 0.05
    _use_the_kernels(place)
    code = operator.code(torch.device(place.device))
    seeds = [torch.tensor(SEED, device=place.device), torch.tensor(SEED + 1, device=place.device)]
    drawn = [
        mask == 0 for seed in seeds for mask in code.masks(seed, tokens, (width,) * 3, (p,) * 3)
    ]
    n = tokens * width
    rates = [abs(float(mask.sum()) - n * p) / math.sqrt(n * p * (1 - p)) for mask in drawn]
    yield _within("rate of dropped elements, standard errors off", max(rates))
    pairs = [(a, b) for at, a in enumerate(drawn) for b in drawn[:at]]
    for mask in drawn:
        pairs += [(mask.view(-1)[lag:], mask.view(-1)[:-lag]) for lag in (1, 2, 8, width)]
    both = p * p
    off = [
        abs(float((a & b).sum()) - a.numel() * both) / math.sqrt(a.numel() * both * (1 - both))
        for a, b in pairs
    ]
    yield _within(f"dropped in two of {len(pairs)} pairs at once, standard errors off", max(off))


def repeats(place: Place) -> Iterator[Finding]:
    """The same input many times: every bit the same, which a race would not leave."""
    for r in (16, 128):
        given = _operands(place, torch.bfloat16, r, place.sizes["many_tokens"], place.sizes["wide"])
        times = place.sizes["repeats"]
        first = _run(given)
        same = sum(all(map(torch.equal, first, _run(given))) for _ in range(times))
        yield Finding(
            f"r={r}: {times} repeats equal to the bit", f"{same} of {times}", "all", same == times
        )


def contexts(place: Place) -> Iterator[Finding]:
    """Where the operator is called from: checkpointing, autocast, compile, inference."""
    given = _operands(place, torch.bfloat16, 16, 33, FEATURES)
    expected = _run(given)
    for reentrant in (False, True):
        found = _run(given, lambda f, *leaves, r=reentrant: checkpoint(f, *leaves, use_reentrant=r))
        yield _same(
            f"checkpointing draws the same masks, use_reentrant={reentrant}", found, expected
        )
    with torch.autocast(place.device, torch.bfloat16):
        yield _same("under autocast", _run(given), expected)
    if place.is_gpu:
        # else it would draw seeds of its own
        options = {"fullgraph": True, "options": {"fallback_random": True}}
        found = _run(given, lambda f, *leaves: torch.compile(f, **options)(*leaves))
        yield _same("under torch.compile", found, expected)
    with torch.inference_mode():
        torch.manual_seed(0)
        total = _call(*(leaf.clone() for leaf in given[:5]))
    yield _same("under inference_mode", [total], expected[:1])


def _base(place: Place, dtype: torch.dtype) -> Iterator[Finding]:
    for r in place.sizes["ranks"]:
        yield _compare(place, f"r={r}, 33 tokens, p=0.05", dtype, r)
    yield _compare(place, "r=16, 33 tokens, p=0", dtype, dropout=False)
    yield _compare(place, "r=16, 1 token, p=0.05", dtype, tokens=1)
    many = place.sizes["many_tokens"]
    yield _compare(place, f"r=16, {many:,} tokens, p=0.05", dtype, tokens=many)


def _compare(
    place: Place,
    what: str,
    dtype: torch.dtype = torch.bfloat16,
    r: int = 16,
    tokens: int = 33,
    dropout: bool = True,
    activations: tuple[str, str] = GELU,
) -> Finding:
    """The tensor that is furthest from the plain version, as a share of what rounding allows."""
    seed = torch.tensor(SEED, device=place.device) if dropout else None
    given = _operands(place, dtype, r, tokens, FEATURES)
    off = differences(given, seed, activations, P, denselora_delta)
    limits = {name: rounding(name, dtype, torch.float32, activations) for name in off}
    name = max(off, key=lambda name: (math.isnan(off[name]), off[name] / limits[name]))
    limit = limits[name]
    what = f"{str(dtype).removeprefix('torch.')}, {what}"
    value = f"{off[name]:.1e} ({name})"
    return Finding(what, value, f"at most {limit:g}", off[name] <= limit)


def _use_the_kernels(place: Place) -> None:
    """In a rehearsal the GPU's kernels serve the CPU's tensors, in Triton's interpreter."""
    if not place.is_gpu:
        from denselora.adapter.fused import gpu

        operator.code = lambda device: gpu


def _operands(place, dtype, r, tokens, features) -> list[Tensor]:
    _use_the_kernels(place)
    return operands(r, dtype, torch.float32, place.device, tokens, tuple(features))


def _call(y, x, E, M, D) -> Tensor:
    return operator.add_branch(y * 1, x, E, M, D, 2.0, GELU, P, True)


def _run(given: Sequence[Tensor], through=None) -> list[Tensor]:
    """The sum and all gradients, from the same state of the random generator."""
    *leaves, grad = given
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    torch.manual_seed(0)
    total = through(_call, *leaves) if through else _call(*leaves)
    total.backward(grad)
    return [total.detach(), *(leaf.grad for leaf in leaves)]


def _same(what: str, found: Sequence[Tensor], expected: Sequence[Tensor]) -> Finding:
    same = all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    return Finding(what, "equal to the bit" if same else "differs", "equal to the bit", same)


def _within(what: str, value: float) -> Finding:
    return Finding(what, f"{value:.1f}", "at most 5", value <= 5)
