"""Models of other kinds than LLaMA are read as they read themselves, or refused."""

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    GPTNeoConfig,
    Lfm2Config,
    Mamba2Config,
    MistralConfig,
    MptConfig,
    PreTrainedModel,
    RwkvConfig,
)

from denselora.compatibility import check_prompts
from denselora.errors import UserError
from denselora.evaluation.context import check_readable, compute_head, read_prompts
from tests.adapter.architectures import MODELS, tiny
from tests.tiny import TINY

PROMPTS = [[5, 6, 7, 8], [5, 6, 9, 10, 11, 12]]
NEXT = 13


@torch.no_grad()
def appended(model: PreTrainedModel) -> Tensor:
    context = read_prompts(model, compute_head(model, [5, 6]), PROMPTS)
    tokens = torch.tensor([[14, NEXT]] * len(PROMPTS))  # side by side
    ancestors = torch.eye(2, dtype=torch.bool).repeat(len(PROMPTS), 1, 1)
    return context.append(tokens, ancestors, depth=0)[:, 1]


@torch.no_grad()
def plain(model: PreTrainedModel) -> Tensor:
    return torch.stack([model(torch.tensor([[*ids, NEXT]])).logits[0, -1] for ids in PROMPTS])


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"bloom"}))
def test_prompts_are_read_as_the_model_reads_them(name):
    model = tiny(name)
    check_readable(model, name)
    torch.testing.assert_close(appended(model), plain(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        BloomConfig(vocab_size=128, hidden_size=32, n_layer=2, n_head=4),
        FalconConfig(vocab_size=128, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
        GPTNeoConfig(
            vocab_size=128,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
        ),
        Mamba2Config(
            vocab_size=128,
            hidden_size=32,
            num_hidden_layers=2,
            num_heads=8,
            head_dim=8,
            state_size=8,
            n_groups=1,
        ),
        MptConfig(vocab_size=128, d_model=32, n_heads=4, n_layers=2),
        RwkvConfig(vocab_size=128, hidden_size=32, num_hidden_layers=2),
        Lfm2Config(**TINY, layer_types=["conv", "full_attention"]),
    ],
    ids=lambda config: config.model_type,
)
def test_a_model_that_cannot_be_read_is_refused(config):
    model = AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(UserError, match=r"model.path=there: .* choose scoring=lm-eval"):
        check_readable(model, "there")


def test_prompts_longer_than_a_window_are_refused(tokenizer):
    config = MistralConfig(**TINY | {"max_position_embeddings": 512}, sliding_window=64)
    check_prompts(config, tokenizer, ["short"], 20)
    check_prompts(MistralConfig(**TINY | {"max_position_embeddings": 512}, sliding_window=None),
                  tokenizer, ["long " * 60], 20)  # fmt: skip
    with pytest.raises(UserError, match="look back 64 tokens alone"):
        check_prompts(config, tokenizer, ["short", "long " * 60], 20)
