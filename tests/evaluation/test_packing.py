import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from denselora.evaluation.context import compute_head, read_prompts, shared_head
from denselora.evaluation.packing import Packing, packed
from tests.evaluation.models import LAYOUTS, make_rows


@pytest.fixture(scope="module")
def prompts(tokenizer, paper):
    rows = [row for name in LAYOUTS for row in make_rows(name, 3, seed=9)]
    return [tokenizer(paper.evaluation_prompt(row))["input_ids"] for row in rows]


def test_packed_and_padded_rows_give_the_same_context(trained, prompts, base_folder):
    eager = LlamaForCausalLM.from_pretrained(base_folder, attn_implementation="eager").eval()
    contexts = [
        read_prompts(model, compute_head(model, shared_head(prompts)), prompts)
        for model in (trained, eager)
    ]
    one, other = contexts
    torch.testing.assert_close(one.logits, other.logits, atol=1e-4, rtol=1e-4)
    assert torch.equal(one.visible, other.visible) and torch.equal(one.length, other.length)
    for ours, theirs in zip(one.cache.layers, other.cache.layers, strict=True):
        seen = one.visible[:, None, :, None]
        torch.testing.assert_close(ours.keys * seen, theirs.keys * seen, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.values * seen, theirs.values * seen, atol=1e-4, rtol=1e-4)


def test_linear_layers_get_real_tokens_alone(trained, prompts):
    seen = []
    layer = trained.model.layers[0].mlp.up_proj
    hook = layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[:2]))
    try:
        read_prompts(trained, compute_head(trained, []), prompts)
    finally:
        hook.remove()
    assert seen == [(1, sum(map(len, prompts)))]


def test_the_last_block_computes_only_what_the_wanted_logits_need(trained, prompts):
    head = compute_head(trained, [])
    attention, mlp = trained.model.layers[-1].self_attn, trained.model.layers[-1].mlp
    counts = {}
    parts = {
        "q": attention.q_proj,
        "k": attention.k_proj,
        "o": attention.o_proj,
        "mlp": mlp.up_proj,
    }
    hooks = [
        part.register_forward_hook(
            lambda _, inputs, __, name=name: counts.update({name: inputs[0].shape[1]})
        )
        for name, part in parts.items()
    ]
    try:
        read_prompts(trained, head, prompts, draft=[1, 2])
    finally:
        for hook in hooks:
            hook.remove()
    tokens = sum(len(ids) + 2 for ids in prompts)
    assert counts == {
        "q": 3 * len(prompts),
        "k": tokens,
        "o": 3 * len(prompts),
        "mlp": 3 * len(prompts),
    }
    assert not any(
        part._forward_pre_hooks or part._forward_hooks for part in (*parts.values(), mlp)
    )


def test_a_block_with_other_parts_computes_everything(trained, prompts):
    head = compute_head(trained, [])
    expected = read_prompts(trained, head, prompts).logits
    last = trained.model.layers[-1]
    plain = last.mlp
    last.mlp = nn.Sequential(plain)  # no down_proj to see
    try:
        logits = read_prompts(trained, head, prompts).logits
    finally:
        last.mlp = plain
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_padding_and_packing_undo_each_other():
    packing = Packing([2, 5, 1], "cpu")
    states = torch.randn(1, 3, 8, 4)
    padded = packing.pad(states)
    assert padded.shape == (3, 3, 5, 4)
    assert torch.equal(packing.pack(padded.transpose(1, 2)), states.transpose(1, 2))
    assert torch.equal(padded[0, :, -1], states[0, :, 1])
    assert packing.last(1).tolist() == [1, 6, 7]


def test_the_models_own_attention_is_back_afterwards(trained):
    with pytest.raises(ZeroDivisionError), packed(trained, Packing([1], "cpu"), None):
        assert trained.config._attn_implementation == "packed"
        raise ZeroDivisionError
    assert trained.config._attn_implementation == "sdpa"
