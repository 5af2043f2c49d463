"""Compiled blocks: the same step, nothing compiled twice."""

import functools

import pytest
import torch
from accelerate import Accelerator

from denselora.errors import UserError
from denselora.training.compiled import CompiledBlocks, check_compiler
from denselora.training.loss import frozen_head, weighted_loss
from tests.training.global_batch import (
    ALL,
    backward,
    global_batch,
    model_for_training,
    trained_gradients,
)


@functools.cache
def compiles() -> bool:
    try:
        check_compiler(Accelerator(cpu=True))
    except UserError:
        return False
    return True


@pytest.fixture(autouse=True)
def _nothing_compiled():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def step(compiled: bool, sizes: tuple[int, ...]):
    """Loss and gradients over the global batch in passes of each of the sizes, summed."""
    model, total = model_for_training().train(), 0.0
    head = frozen_head(model)
    blocks = CompiledBlocks(model, 256) if compiled else None
    for pass_tokens in sizes:
        passes = global_batch("micro_batch_mean").at(0, pass_tokens).passes
        total += backward(model, passes, head, blocks)
    return total, trained_gradients(model)


def test_a_compiled_step_is_the_same_and_compiles_once_for_each_size():
    if not compiles():
        pytest.skip("needs a C++ compiler")
    sizes = (ALL, 26, 31, ALL)  # passes of 160 and of 32 tokens, with different rows in them
    loss, expected = step(False, sizes)
    compiled_loss, found = step(True, sizes)
    assert compiled_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-5 * gradient.norm())


def test_what_would_compile_again_is_reported(monkeypatch):
    without_compiler = functools.partialmethod(torch.nn.Module.compile, backend="eager")
    monkeypatch.setattr(torch.nn.Module, "compile", without_compiler)
    model = model_for_training().train()
    blocks = CompiledBlocks(model, 256)
    (batch,) = global_batch("token_mean", range(2)).at(0, 32).passes
    batch = blocks.padded(batch)
    for _ in range(2):
        with blocks.watched(batch):
            weighted_loss(model, batch)
    model.eval()
    with pytest.raises(UserError, match=r"32 tokens .* again; .*training"), blocks.watched(batch):
        weighted_loss(model, batch)


def test_a_missing_compiler_is_reported(monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nowhere/g++",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    with pytest.raises(UserError, match=r"trainer\.compile=true: .*install a C\+\+ compiler"):
        check_compiler(Accelerator(cpu=True))


def test_padding_is_a_row_without_loss():
    model = model_for_training()
    (batch,) = global_batch("token_mean").at(0, ALL).passes
    padded = batch.padded(ALL + 7)
    assert padded.tokens == ALL + 7 == padded.starts[-1] == sum(padded.lengths)
    torch.testing.assert_close(weighted_loss(model, padded), weighted_loss(model, batch))
