"""The Triton kernels against the plain version: on a GPU, or anywhere in Triton's interpreter by

TRITON_INTERPRET=1 pytest tests/adapter/test_kernels.py
"""

import math
import os

import pytest
import torch

# the rest of this file imports Triton
pytest.importorskip("triton", reason="Triton isn't installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)

from denselora.adapter import kernels  # noqa: E402
from denselora.adapter.layer import ACTIVATIONS  # noqa: E402
from tests.adapter.test_functional import DROPOUTS, NAMES, operands, reference, result  # noqa: E402

SEED = torch.tensor(12345678901234567, device=DEVICE)


def fused(leaves, grad, activations, dropouts, seed=SEED, need_x=True):
    """The sum and the gradients of y, x, E, M, D."""
    y, x, E, M, D = (leaf.detach() for leaf in leaves)
    total = y.clone()
    h = x.new_empty(math.prod(x.shape[:-1]), len(E), dtype=torch.float32)
    options = (seed, 2.0, *activations, *dropouts)
    kernels.add(total, h, x, E, M, D, *options)
    return [total, grad, *kernels.gradients(grad, x, h, E, M, D, *options, need_x)]


def plain(leaves, grad, activations, dropouts, seed=SEED):
    """The same by autograd in fp64, with the kernels' masks."""
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    shape, (in_, r, out) = leaves[1].shape[:-1], (leaves[2].shape[1], *leaves[4].shape[::-1])
    drawn = kernels.masks(seed, math.prod(shape), (in_, r, out), dropouts)
    drawn = [mask.view(*shape, -1) for mask in drawn]
    return result(lambda *t: reference(t, 2.0, activations, drawn), exact, grad.double())


def on_device(leaves_and_grad):
    leaves, grad = leaves_and_grad
    return [leaf.detach().to(DEVICE).requires_grad_() for leaf in leaves], grad.to(DEVICE)


# more rows and columns than one tile, and neither a multiple of it
@pytest.mark.parametrize("r", [4, 16, 20])
def test_kernels_are_the_plain_version(r):
    leaves, grad = on_device(operands(tokens=(3, 23), features=(150, 140), r=r))
    for actual, wanted in zip(
        fused(leaves, grad, ("gelu", "gelu"), DROPOUTS),
        plain(leaves, grad, ("gelu", "gelu"), DROPOUTS),
        strict=True,
    ):
        torch.testing.assert_close(actual.double(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropouts", [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.5, 0.5)])
def test_every_activation_and_each_dropout(activation, dropouts):
    leaves, grad = on_device(operands())
    activations = (activation, "identity" if activation == "gelu" else activation)
    for actual, wanted in zip(
        fused(leaves, grad, activations, dropouts),
        plain(leaves, grad, activations, dropouts),
        strict=True,
    ):
        torch.testing.assert_close(actual.double(), wanted, rtol=1e-4, atol=1e-4)


def test_half_precision_base_is_rounded_once():
    leaves, grad = on_device(operands(half=torch.bfloat16, tokens=(40,), features=(24, 16)))
    truth = plain(leaves, grad, ("gelu", "gelu"), DROPOUTS)
    for name, actual, wanted in zip(
        ("sum", *NAMES), fused(leaves, grad, ("gelu", "gelu"), DROPOUTS), truth, strict=True
    ):
        error = (actual.double() - wanted).norm() / wanted.norm()
        assert error < (4e-3 if name in ("sum", "y", "x") else 2e-3), name


def test_masks_have_their_rates_and_are_independent():
    p, shape = 0.05, (64, (512, 512, 512))
    drawn = kernels.masks(SEED, *shape, (p,) * 3) + kernels.masks(SEED + 1, *shape, (p,) * 3)
    n = drawn[0].numel()
    for mask in drawn:
        assert abs((mask == 0).sum() - n * p) < 5 * math.sqrt(n * p)
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert abs(((a == 0) & (b == 0)).sum() - n * p * p) < 5 * math.sqrt(n * p * p)
        for lag in (1, 2, 4, 8, 512):
            both = (a.view(-1)[lag:] == 0) & (a.view(-1)[:-lag] == 0)
            assert abs(both.sum() - n * p * p) < 5 * math.sqrt(n * p * p), lag


def test_no_seed_no_dropout_and_no_tokens():
    leaves, grad = on_device(operands())
    off = fused(leaves, grad, ("gelu", "gelu"), DROPOUTS, seed=None)
    expected = plain(leaves, grad, ("gelu", "gelu"), (0.0,) * 3)
    torch.testing.assert_close(off[0].double(), expected[0], rtol=1e-4, atol=1e-4)
    empty = [leaf[:0] for leaf in leaves[:2]] + leaves[2:]
    assert all(not g.any() for g in fused(empty, grad[:0], ("gelu", "gelu"), DROPOUTS)[3:])


def test_a_frozen_input_costs_no_gradient():
    leaves, grad = on_device(operands())
    some = fused(leaves, grad, ("gelu", "gelu"), DROPOUTS, need_x=False)
    every = fused(leaves, grad, ("gelu", "gelu"), DROPOUTS)
    assert some[2].numel() == 0
    for a, b in zip(some[3:], every[3:], strict=True):
        assert torch.equal(a, b)
