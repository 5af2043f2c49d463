"""The Triton kernels against the plain version: on a GPU, or in Triton's interpreter without one.

conftest.py asks for the interpreter.
"""

import json
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

# the rest of this file imports Triton
pytest.importorskip("triton", reason="Triton isn't installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

from denselora.adapter.fused import gpu  # noqa: E402
from denselora.adapter.fused.operator import LARGEST_GPU_RANK  # noqa: E402
from denselora.adapter.layer import ACTIVATIONS  # noqa: E402
from tests.adapter.fused import compile_kernels  # noqa: E402
from tests.adapter.fused.branch import DROPOUTS, NAMES, operands, reference, result  # noqa: E402

SEED = torch.tensor(12345678901234567, device=DEVICE)


def fused(leaves, grad, activations, dropouts, seed=SEED, need_x=True):
    """The sum and the gradients of y, x, E, M, D."""
    y, x, E, M, D = (leaf.detach() for leaf in leaves)
    total = y.clone()
    h = x.new_empty(math.prod(x.shape[:-1]), len(E), dtype=torch.float32)
    options = (seed, 2.0, *activations, *dropouts)
    gpu.add(total, h, x, E, M, D, *options)
    return [total, grad, *gpu.gradients(grad, x, h, E, M, D, *options, need_x)]


def plain(leaves, grad, activations, dropouts, seed=SEED):
    """The same by autograd in fp64, with the kernels' masks."""
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    shape, (in_, r, out) = leaves[1].shape[:-1], (leaves[2].shape[1], *leaves[4].shape[::-1])
    drawn = gpu.masks(seed, math.prod(shape), (in_, r, out), dropouts)
    drawn = [mask.view(*shape, -1) for mask in drawn]
    return result(lambda *t: reference(t, 2.0, activations, drawn), exact, grad.double())


def on_device(leaves_and_grad):
    leaves, grad = leaves_and_grad
    return [leaf.detach().to(DEVICE).requires_grad_() for leaf in leaves], grad.to(DEVICE)


# more rows and columns than one tile, and neither a multiple of it
@pytest.mark.parametrize("r", [4, 16, 20, 130])
def test_kernels_are_the_plain_version(r):
    leaves, grad = on_device(operands(tokens=(3, 23), features=(150, 140), r=r))
    for actual, wanted in zip(
        fused(leaves, grad, ("gelu", "gelu"), DROPOUTS),
        plain(leaves, grad, ("gelu", "gelu"), DROPOUTS),
        strict=True,
    ):
        torch.testing.assert_close(actual.double(), wanted, rtol=1e-4, atol=1e-4)


def test_any_division_of_the_work_gives_the_same(monkeypatch):
    leaves, grad = on_device(operands(tokens=(3, 23), features=(150, 140), r=20))
    wanted = plain(leaves, grad, ("gelu", "gelu"), DROPOUTS)
    for programs, slabs in ((1, 1), (4, 2)):
        monkeypatch.setattr(gpu, "PROGRAMS", programs)
        monkeypatch.setattr(gpu, "SLABS", slabs)
        actual = fused(leaves, grad, ("gelu", "gelu"), DROPOUTS)
        for a, b in zip(actual, wanted, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


def test_gelu_and_its_slope_are_exact_to_fp32():
    v = torch.linspace(-12, 12, 64 * 64, device=DEVICE).view(64, 64).requires_grad_()
    wanted = F.gelu(v.double())
    slope = torch.autograd.grad(wanted.sum(), v)[0]
    h, M = v.detach(), torch.eye(64, device=DEVICE)
    activated = gpu._core_forward(h, h, M, "gelu", None, 0.0)
    torch.testing.assert_close(activated.double(), wanted.detach(), rtol=3e-7, atol=3e-7)
    gradient, _ = gpu._core_backward(torch.ones(1, 64, 64, device=DEVICE), h, M, "gelu", None, 0.0)
    torch.testing.assert_close(gradient, slope, rtol=3e-7, atol=3e-7)


COMPILED = [
    f"80,bfloat16,{LARGEST_GPU_RANK},gelu,2048",
    "80,float32,64,silu,2048",
    "90,bfloat16,16,relu,2048",
    "90,float16,16,identity,1",
]


@pytest.fixture(scope="module")
def shared_memory(tmp_path_factory) -> dict[str, dict[str, int]]:
    """Of each of COMPILED: bytes by kernel. One process for all, since torch takes long to load."""
    command = [sys.executable, compile_kernels.__file__, *COMPILED]
    variables = {
        "TRITON_INTERPRET": "0",
        "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton")),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(COMPILED, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("arguments", COMPILED)
def test_every_kernel_compiles_and_fits_into_a_consumer_gpu(arguments, shared_memory):
    shared = shared_memory[arguments]
    assert shared.keys() == {
        "_encode", "_core", "_decode",
        "_decode_backward", "_core_backward_kernel", "_encode_backward",
    }  # fmt: skip
    # CUDA's programming guide, technical specifications: 99 KB at compute capability 8.6 and 8.9
    assert max(shared.values()) <= 99 * 1024, shared


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
    drawn = gpu.masks(SEED, *shape, (p,) * 3) + gpu.masks(SEED + 1, *shape, (p,) * 3)
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
