"""What a run takes: a tiny base with a tokenizer, tiny rows, and the train config over them."""

import json
from pathlib import Path

from omegaconf import DictConfig

from denselora.command_line.configs import composed
from denselora.command_line.options import accepted
from denselora.training.options import Train
from tests.tiny import tiny_llama, word_tokenizer


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


def write_inputs(folder: Path) -> None:
    """base/ and data/ below the folder."""
    write_rows(folder / "data")
    texts = [json.dumps(row) for row in json.loads((folder / "data/train.json").read_text())]
    preamble = "Below is an instruction that describes a task . ### Instruction : Response :"
    tokenizer = word_tokenizer([*texts, preamble])
    tiny_llama(vocab_size=len(tokenizer), max_position_embeddings=128).save_pretrained(
        folder / "base"
    )
    tokenizer.save_pretrained(folder / "base")


def train_config(inputs: Path, *overrides: str) -> DictConfig:
    """Six steps of 4 rows (2 × 2), checkpoints and validation every second one."""
    options = [
        f"model.path={inputs / 'base'}",
        "data=local",
        f"data.path={inputs / 'data'}",
        "trainer.max_steps=6",
        "trainer.global_batch_size=4",
        "trainer.micro_batch_size=2",
        "trainer.learning_rate=0.02",
        "trainer.warmup_steps=1",
        "trainer.validation_rows=4",
        "trainer.eval_steps=2",
        "trainer.save_steps=2",
        *overrides,
    ]
    return accepted(composed("train", options), Train)
