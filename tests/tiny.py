"""Tiny models, tokenizers and data, for the CPU: no download, no GPU."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from denselora import DenseLoraConfig
from denselora.tasks import COMMONSENSE

PUBLISHED = [one for one in COMMONSENSE if one.blob]

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


def denselora_config(**overrides) -> DenseLoraConfig:
    """r = 4 on the paper's five module types, dropout off so that outputs are repeatable."""
    return DenseLoraConfig(
        **{"r": 4, "target_modules": TARGETS, "denselora_dropout": 0.0, **overrides}
    )


def adapted_llama(seed: int = 0, **overrides) -> PeftModel:
    """A tiny LLaMA under an adapter that changes its output: D, too, is drawn at random."""
    return get_peft_model(
        tiny_llama(seed), denselora_config(**{"init_weights": False, **overrides})
    ).eval()


def train(model: torch.nn.Module, tokens: torch.Tensor, steps: int = 2) -> None:
    """A few large steps of AdamW on the tokens as their own labels; leaves the model in eval."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    for _ in range(steps):
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def byte_tokenizer(
    texts: Iterable[str], vocabulary: int = 400, begins_texts: bool = False, **options
) -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from the texts; <pad> is 0, BOS 1, EOS 2.

    begins_texts: put BOS before every text, as LLaMA's does. options: the tokenizer's.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if begins_texts:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        **options,
    )


def word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token per word of the texts; no BOS, as SmolLM2."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<pad>", "<unk>", "</s>"]
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def speaking_llama(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0, **overrides
) -> LlamaForCausalLM:
    """A tiny LLaMA with the vocabulary of a `byte_tokenizer`, for prompts of up to 512 tokens."""
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    size = {"vocab_size": len(tokenizer), "max_position_embeddings": 512}
    return tiny_llama(seed, **{**size, **ids, **overrides})


def question(benchmark, number: int) -> dict[str, str]:
    """A row whose gold answer stands in its instruction."""
    answer = benchmark.answers[number % 2]
    return {
        "instruction": f"Question {number}: say {answer}.\n\nAnswer format: "
        + "/".join(benchmark.answers),
        "input": "",
        "output": f"the correct answer is {answer}",
        "answer": answer,
    }


def write_data(folder: Path, train: int = 24, test: int = 6) -> Path:
    """A data folder in the LLM-Adapters layout."""
    for benchmark in PUBLISHED:
        (folder / benchmark.name).mkdir(parents=True)
        rows = [question(benchmark, number) for number in range(test)]
        (folder / benchmark.name / "test.json").write_text(json.dumps(rows))
    rows = [question(PUBLISHED[n % len(PUBLISHED)], n) for n in range(train)]
    (folder / "train.json").write_text(json.dumps(rows))
    return folder


def write_model(folder: Path, seed: int = 0, **overrides) -> Path:
    """A two-layer LLaMA with random weights and a byte-level tokenizer."""
    texts = [question(benchmark, n)["instruction"] for benchmark in PUBLISHED for n in range(3)]
    tokenizer = byte_tokenizer([*texts, " " * 16, "### Response: the correct answer"])
    tokenizer.save_pretrained(folder)
    speaking_llama(tokenizer, seed, **overrides).save_pretrained(folder)
    return folder
