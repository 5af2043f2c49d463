"""Stand-ins for the model families' tokenizers, for where the real ones aren't.

Each has its family's way to split text, its special tokens and its place for BOS; the merges are
learned from a few texts. tests/test_tokenizers.py checks that the real ones split likewise.
"""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter


def write(family: str, folder: Path, texts: list[str]) -> Path:
    """A folder as on the hub: the family's stand-in and a config.json of LLaMA."""
    {"smollm2": _smollm2, "llama3": _llama3, "llama2": _llama2}[family](texts).save_pretrained(
        folder
    )
    LlamaConfig().save_pretrained(folder)
    return folder


def _smollm2(texts: list[str]) -> PreTrainedTokenizerFast:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    digits = pre_tokenizers.Digits(individual_digits=True)
    split = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer = _byte_level(split, texts, special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[1], eos_token=special[2]
    )


def _llama3(texts: list[str]) -> PreTrainedTokenizerFast:
    bos, eos = "<|begin_of_text|>", "<|end_of_text|>"
    pattern = Regex(TikTokenConverter().pattern)
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer = _byte_level(split, texts, [])
    tokenizer.add_special_tokens([bos, eos])  # after the text's tokens, so that "!" has id 0
    tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


def _llama2(texts: list[str]) -> LlamaTokenizer:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    lines = [line for text in texts for line in text.splitlines()]  # a line's end is a byte token
    trained.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=2000, show_progress=False))
    learned = json.loads(trained.model.__getstate__())
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += sorted(learned["vocab"], key=learned["vocab"].get)
    return LlamaTokenizer(
        vocab={piece: at for at, piece in enumerate(pieces)},
        merges=[tuple(pair) for pair in learned["merges"]],
        add_bos_token=True,
    )


def _byte_level(split, texts: list[str], special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
