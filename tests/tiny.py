"""A model folder and a data folder small enough to train and evaluate in seconds."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from denselora.tasks import COMMONSENSE

PUBLISHED = [one for one in COMMONSENSE if one.blob]


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
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = [question(benchmark, n)["instruction"] for benchmark in PUBLISHED for n in range(3)]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*words, " " * 16, "### Response: the correct answer"], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    set_seed(seed)
    config = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    LlamaForCausalLM(LlamaConfig(**{**config, **overrides})).save_pretrained(folder)
    return folder
