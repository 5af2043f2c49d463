"""data/mini: the world's benchmarks, its tokenizer and its base, written from the seed alone."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from denselora.evaluation.neutral_text import FILE
from denselora.files import check_writable, write_json
from denselora.protocol import Protocol
from denselora.training.settings import Settings
from denselora.world.base import encode, fill_empty_rows, new_base, pretrain
from denselora.world.benchmarks import make_benchmarks
from denselora.world.facts import World, make_world
from denselora.world.text import Document, as_text, documents, neutral, sample
from denselora.world.tokenizer import train_tokenizer

SAMPLE = 20_000  # documents that the tokenizer is trained on
NEUTRAL = 250  # statements, of which those go that the base has read


def make_mini(cfg: DictConfig) -> None:
    """Write the folder that cfg names; an interrupted pretraining goes on where it stopped.

    Raises UserError for an impossible number or a folder that can't be written.
    """
    folder = Path(cfg.folder)
    settings = Settings.from_config(OmegaConf.to_container(cfg.trainer, resolve=True))
    check_writable(folder, "folder")
    world = make_world(cfg.seed)
    protocol = Protocol.from_config(OmegaConf.to_container(cfg.protocol, resolve=True))
    prompts = ["".join(protocol.training_text(row)) for row in write_benchmarks(world, folder)]
    texts = documents(world)
    write_neutral_text(world, texts, folder)
    write_base(world, texts, prompts, settings, folder / "base", Path(cfg.checkpoints))


def write_benchmarks(world: World, folder: Path) -> list[dict[str, str]]:
    """Write train.json and <benchmark>/test.json in the layout of LLM-Adapters.

    Returns the training rows.
    """
    train, tests = make_benchmarks(world)
    files = {"train": train} | {f"{name}/test": rows for name, rows in tests.items()}
    for name, rows in files.items():
        write_json(folder / f"{name}.json", rows)
    return train


def write_neutral_text(world: World, texts: list[Document], folder: Path) -> None:
    """Write the text that forgetting is measured on: statements that are not among `texts`."""
    seen = set(map(as_text, texts))
    held_out = []
    for document in neutral(world, NEUTRAL):
        if as_text(document) not in seen:
            seen.add(as_text(document))
            held_out.append(document)
    write_json(folder / FILE, held_out)


def write_base(
    world: World,
    texts: list[Document],
    prompts: list[str],
    settings: Settings,
    folder: Path,
    checkpoints: Path,
) -> None:
    """Pretrain the base from `texts` and save it as a folder for from_pretrained.

    prompts: text besides the world's own that the tokenizer is to know. Figures of the
    pretraining go into pretraining.json.
    """
    tokenizer = train_tokenizer([*map(as_text, sample(world, SAMPLE)), *prompts])
    model = new_base(len(tokenizer), world.seed)
    figures = pretrain(model, encode(texts, tokenizer), settings, checkpoints)
    fill_empty_rows(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "pretraining.json", {"seed": world.seed} | figures)
