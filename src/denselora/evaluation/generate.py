"""Decoding answers in batches."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from denselora.protocol import Decoding


def generation_config(decoding: Decoding, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Deterministic decoding with every field that decides it set here, none inherited."""
    return GenerationConfig(
        num_beams=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens,
        min_new_tokens=None,
        do_sample=False,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        length_penalty=1.0,
        early_stopping=False,
        num_return_sequences=1,
        use_cache=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


@torch.no_grad()
def generate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    config: GenerationConfig,
) -> list[str]:
    """The model's continuation of each prompt, up to its first EOS.

    The prompts are padded on the left and the padding is masked.
    """
    batch = tokenizer(list(prompts), return_tensors="pt", padding=True)
    batch = {
        "input_ids": batch["input_ids"].to(model.device),
        "attention_mask": batch["attention_mask"].to(model.device),
    }
    sequences = model.generate(**batch, generation_config=config)
    made = sequences[:, batch["input_ids"].shape[1] :].tolist()
    return [tokenizer.decode(_to_eos(ids, config.eos_token_id)) for ids in made]


def _to_eos(ids: list[int], eos: int) -> list[int]:
    return ids[: ids.index(eos)] if eos in ids else ids
