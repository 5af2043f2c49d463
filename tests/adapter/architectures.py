"""Tiny models of other architectures than LLaMA."""

import torch
import transformers as hf

from tests.tiny import TINY

GEMMA = {**TINY, "head_dim": 8}
MODELS = {
    "llama": (hf.LlamaConfig, TINY),
    "mistral": (hf.MistralConfig, TINY),
    "qwen2": (hf.Qwen2Config, TINY),
    "qwen3": (hf.Qwen3Config, GEMMA),
    "gemma": (hf.GemmaConfig, GEMMA),
    "gemma2": (hf.Gemma2Config, GEMMA),
    "gemma3": (hf.Gemma3TextConfig, GEMMA),
    "phi": (hf.PhiConfig, TINY),
    "gpt2": (hf.GPT2Config, {"vocab_size": 128, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    "opt": (
        hf.OPTConfig,
        {
            "vocab_size": 128,
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
        },
    ),
    "bloom": (hf.BloomConfig, {"vocab_size": 128, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
}


def tiny(name: str) -> hf.PreTrainedModel:
    config_class, widths = MODELS[name]
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(config_class(**widths)).eval()
