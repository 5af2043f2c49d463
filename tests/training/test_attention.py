"""Rows in one pass see themselves alone."""

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    NemotronConfig,
    NemotronForCausalLM,
)

from denselora.data.batch import pack
from denselora.training import attention
from denselora.training.attention import keep_rows_apart, row_arguments, varlen_attention
from tests.adapter.architectures import tiny
from tests.tiny import TINY, tiny_llama

ROWS = [{"input_ids": [*range(n)], "labels": [*range(n)]} for n in (3, 11, 1, 6)]


def logits(model, rows) -> torch.Tensor:
    batch = pack(rows, [1.0] * len(rows))
    return model(
        input_ids=batch.input_ids, position_ids=batch.position_ids, **row_arguments(batch)
    ).logits[0]


@pytest.mark.parametrize("window", [None, 4])
def test_a_row_gives_the_same_beside_others(window):
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(**TINY, sliding_window=window)).eval()
    expected = [model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in ROWS]
    assert keep_rows_apart(model)
    torch.testing.assert_close(logits(model, ROWS), torch.cat(expected), rtol=1e-4, atol=1e-6)


def test_models_that_cannot_are_left_as_they_were():
    torch.manual_seed(0)
    mamba = MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1))
    gemma = Gemma2ForCausalLM(Gemma2Config(**TINY, head_dim=8))  # caps its attention
    dropping = tiny_llama(attention_dropout=0.1), tiny("gpt2")  # which has another name for it
    silent = NemotronForCausalLM(NemotronConfig(**TINY))  # tells its attention nothing
    for model in (mamba, gemma, *dropping, silent):
        before = model.config._attn_implementation
        assert not keep_rows_apart(model.eval())
        assert model.config._attn_implementation == before


def test_a_model_without_weights_is_asked_too():
    with torch.device("meta"):
        model = tiny_llama()
    assert keep_rows_apart(model)


def test_asking_draws_no_random_number():
    model = tiny("gpt2")
    before = torch.get_rng_state()
    keep_rows_apart(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_saved_does_not_name_the_attention(tmp_path):
    model = tiny_llama()
    keep_rows_apart(model)
    model.save_pretrained(tmp_path)
    assert "varlen" not in (tmp_path / "config.json").read_text()


def test_under_autocast_a_model_in_fp32_asks_for_flash_attention_in_half_precision(monkeypatch):
    asked = []
    monkeypatch.setattr(
        attention, "_flash", lambda query, value: asked.append((query.dtype, value.dtype))
    )
    model = tiny_llama()
    assert keep_rows_apart(model)
    asked.clear()
    with torch.autocast("cpu", torch.bfloat16):
        logits(model, ROWS)
    assert {*asked} == {(torch.bfloat16, torch.bfloat16)}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 4])
def test_flash_attention_equals_the_plain_one(window):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, h, 21, 16, generator=generator) for h in (4, 2, 2))
    rows = row_arguments(pack(ROWS, [1.0] * 4).to(torch.device("cuda")))
    outputs = []
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [part.cuda().to(dtype).requires_grad_() for part in (query, key, value)]
        y, _ = varlen_attention(None, *inputs, None, scaling=0.25, sliding_window=window, **rows)
        y.float().square().sum().backward()
        outputs.append([y, *(part.grad for part in inputs)])
    for exact, half in zip(*outputs, strict=True):
        assert (exact - half.float()).norm() <= 0.02 * exact.norm()
