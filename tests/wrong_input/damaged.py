"""Models, adapters and runs: files cut short, of another kind or encoding, or not files at all."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.wrong_input.case import Case, Given, case, copy_of
from tests.wrong_input.spoil import (
    a_list,
    byte_order_mark,
    cut,
    edited,
    empty,
    folder,
    latin_1,
    nonsense,
    page,
    pickle,
    pipe,
    pointer,
    spoilt,
    utf_16,
)

TEXT = {
    cut: "malformed",
    utf_16: "UTF-16",
    latin_1: "not UTF-8",
    byte_order_mark: "byte order mark",
    empty: "empty",
    pointer: "git lfs pull",
    page: "HTML",
    pipe: "pipe",
    folder: "a folder",
    a_list: "a list, expected an object",
}
BINARY = {cut: "cut off", nonsense: "", empty: "empty", pointer: "git lfs pull", page: "HTML",
          pipe: "pipe", folder: "a folder", pickle: "a pickle"}  # fmt: skip


def each(words: str, place: str, name: str, kinds: dict[Callable, str]) -> list[Case]:
    """A file of a folder, damaged in each of these ways."""
    return [case(words, name, says, given=spoilt(place, name, how)) for how, says in kinds.items()]


def without_checkpoints_but(how: Callable[[Path], object], name: str) -> Given:
    """A run that has not ended, and one checkpoint whose file is spoilt."""

    def change(run: Path) -> None:
        shutil.rmtree(run / "adapter")
        shutil.rmtree(run / "checkpoints/step-000001")
        how(run / "checkpoints/step-000002" / name)

    return copy_of("run", change)


def resumed(config: bytes) -> Given:
    """A run that has not ended, with another config.yaml."""

    def change(run: Path) -> None:
        shutil.rmtree(run / "adapter")
        (run / "config.yaml").write_bytes(config)

    return copy_of("run", change)


def as_bin(folder: Path, how: Callable[[Path], object]) -> None:
    """Put a spoilt file of torch's own in the place of the folder's safetensors."""
    for safe, name in (
        ("model", "pytorch_model"),
        ("adapter/adapter_model", "adapter/adapter_model"),
    ):
        file = folder / f"{safe}.safetensors"
        if file.exists():
            file = file.rename(folder / f"{name}.bin")
            how(file)


RESUME = "train output_dir=run resume=true adapter.r=2 trainer.max_steps=2 trainer.save_steps=1"
EVALUATE = "evaluate adapter_path=run/adapter"
ADAPTER = "adapter/adapter_config.json"
STATE, WEIGHTS = "checkpoints/step-000002/state.pt", "adapter_model.safetensors"

CASES = [
    case(
        "train model.path=model",
        "model.path=model",
        given=copy_of("model", lambda model: (model / "config.json").unlink()),
    ),
    *each("train model.path=model", "model", "config.json", TEXT),
    *each("train model.path=model", "model", "tokenizer.json", TEXT),
    *each("train model.path=model", "model", "tokenizer_config.json", TEXT),
    *each("train model.path=model", "model", "generation_config.json", TEXT),
    *each("train model.path=model", "model", "model.safetensors", BINARY),
    *each("evaluate model.path=model", "model", "config.json", TEXT),
    *each("evaluate adapter_path=run/adapter", "run", "adapter/adapter_config.json", TEXT),
    *each(
        "evaluate adapter_path=run/adapter",
        "run",
        "adapter/training.json",
        TEXT | {cut: "Invalid JSON", a_list: "should be an object"},
    ),
    *each("evaluate adapter_path=run/adapter", "run", "adapter/adapter_model.safetensors", BINARY),
    *each("ask adapter_path=run/adapter", "run", "adapter/adapter_config.json", TEXT),
    *each(
        "train output_dir=run resume=true",
        "run",
        "config.yaml",
        TEXT | {a_list: "not a run's options"},
    ),
    *(
        case(RESUME, "step-000002/state.pt", says, given=without_checkpoints_but(how, "state.pt"))
        for how, says in (BINARY | {cut: "damaged", pickle: "lacks metrics"}).items()
    ),
    *(
        case(RESUME, "step-000002", says, given=without_checkpoints_but(how, WEIGHTS))
        for how, says in (BINARY | {Path.unlink: "no weights"}).items()
    ),
    *(
        case(
            "train model.path=model",
            "model.path=model",
            given=edited("model", "config.json", **new),
        )
        for new in (
            {"model_type": ...},
            {"model_type": "nothing"},
            {"hidden_size": "x"},
            {"hidden_size": 0},
            {"num_attention_heads": 0},
            {"num_hidden_layers": -1},
            {"vocab_size": None},
            {"rope_parameters": []},
            {"hidden_act": "x"},
            {"intermediate_size": 2.5},
        )
    ),
    *(
        case(
            "train model.path=model",
            "model.path=model",
            given=edited("model", "tokenizer.json", **new),
        )
        for new in ({"model": ...}, {"model": []}, {"added_tokens": 1})
    ),
    *(
        case(
            "train model.path=model",
            "model.path=model",
            given=edited("model", "tokenizer_config.json", **new),
        )
        for new in (
            {"tokenizer_class": 1},
            {"eos_token": 1},
            {"eos_token": ...},
            {"added_tokens_decoder": 1},
        )
    ),
    *(
        case(EVALUATE, "adapter_path=run/adapter", given=edited("run", ADAPTER, **new))
        for new in (
            {"peft_type": ...},
            {"peft_type": "nothing"},
            {"peft_type": "LORA"},
            {"r": "x"},
            {"r": 0},
            {"r": 3},
            {"r": 2.5},
            {"denselora_alpha": "x"},
            {"denselora_dropout": 2},
            {"target_modules": 5},
            {"target_modules": ["["]},
            {"target_modules": "["},
            {"activation": 3},
            {"share": "all"},
            {"modules_to_save": 3},
            {"task_type": "x"},
            {"layers_to_transform": "x"},
        )
    ),
    *(
        case(
            EVALUATE,
            says,
            given=edited("run", "adapter/training.json", **new),
        )
        for says, new in (
            ("training.json: the config in it has no usable model.name", {"config": {}}),
            ("training.json", {"config": []}),
            ("another base", {"base": {}}),
            ("another base", {"base": {"architecture": 1}}),
            ("training.json", {"method": ...}),
            ("training.json: run_id", {"run_id": "../x"}),
            ("training.json", {"training": None}),
        )
    ),
    *(
        case(words, says, given=copy_of(place, lambda here, how=how: as_bin(here, how)))
        for words, place in (("train model.path=model", "model"), (EVALUATE, "run"))
        for how, says in (
            (nonsense, "whole" if place == "run" else "not a complete model folder"),
            (pointer, "git lfs pull"),
            (pipe, "a pipe"),
        )
    ),
    *(
        case(RESUME, "output_dir=run: was started under another config", given=resumed(content))
        for content in (b"trainer: 5\n", b"1: 2\nadapter: {3: 4}\n", b"model: ${a.b}\n")
    ),
]
