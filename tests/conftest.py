"""Tiny models, built at random on the CPU: no download, no GPU."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

# Narrow and grouped-query, so that q_proj, k_proj, up_proj and down_proj all differ in shape.
TINY = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]


def tiny_llama(seed: int = 0, **overrides) -> LlamaForCausalLM:
    """A two-layer LLaMA with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**{**TINY, **overrides})).eval()


@pytest.fixture
def llama() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture
def tokens() -> torch.Tensor:
    """Token ids [batch 2, sequence 8]."""
    return torch.randint(0, TINY["vocab_size"], (2, 8), generator=torch.Generator().manual_seed(1))
