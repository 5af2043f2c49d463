"""A tiny base with a tokenizer, tiny rows, and the train config over them."""

import json
from pathlib import Path

import datasets
import pytest
from omegaconf import DictConfig
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from denselora.configs import composed
from tests.conftest import tiny_llama


def write_rows(folder: Path, count: int = 28) -> None:
    """train.json with rows of different lengths."""
    rows = [
        {
            "instruction": f"Is {number} " + "very " * (number % 7) + "even ?",
            "input": "",
            "output": f"the correct answer is {'false' if number % 2 else 'true'}",
            "answer": "false" if number % 2 else "true",
        }
        for number in range(count)
    ]
    folder.mkdir(parents=True)
    (folder / "train.json").write_text(json.dumps(rows))


def word_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """One token per word of the texts; no BOS, as SmolLM2."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<pad>", "<unk>", "</s>"]
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def write_workplace(folder: Path) -> None:
    """base/ and data/ below the folder."""
    write_rows(folder / "data")
    texts = [json.dumps(row) for row in json.loads((folder / "data/train.json").read_text())]
    preamble = "Below is an instruction that describes a task . ### Instruction : Response :"
    tokenizer = word_tokenizer([*texts, preamble])
    tiny_llama(vocab_size=len(tokenizer)).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")


def train_config(workplace: Path, *overrides: str) -> DictConfig:
    """Six steps of 4 rows (2 × 2), checkpoints and validation every second one."""
    return composed(
        "train",
        [
            f"model.path={workplace / 'base'}",
            "data=local",
            f"data.path={workplace / 'data'}",
            "trainer.max_steps=6",
            "trainer.global_batch_size=4",
            "trainer.micro_batch_size=2",
            "trainer.learning_rate=0.02",
            "trainer.warmup_steps=1",
            "trainer.validation_rows=4",
            "trainer.eval_steps=2",
            "trainer.save_steps=2",
            *overrides,
        ],
    )


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    write_workplace(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    yield
    datasets.config.HF_DATASETS_CACHE = before
