"""Files that are cut short, of another kind, in another encoding, or not files at all."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from tests.wrong_input.case import Case, Given, case, copy_of, files

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 16060522240\n"
HTML = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])


def utf_16(file: Path) -> None:
    file.write_bytes(file.read_text().encode("utf-16"))


def byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def latin_1(file: Path) -> None:
    file.write_bytes(b'{"a": "\xe9"}')


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pickle(file: Path) -> None:
    torch.save({"weight": torch.ones(2)}, file)


def holding(content: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content)


empty, pointer, page = holding(b""), holding(LFS), holding(HTML)
a_list, a_text, nonsense = holding(b"[]"), holding(b'"text"'), holding(b"\x00\x01\xff\xfe" * 9)

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


def spoilt(place: str, name: str, spoil: Callable[[Path], object]) -> Given:
    return copy_of(place, lambda here: spoil(here / name))


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


def edited(place: str, name: str, **changes: object) -> Given:
    """A JSON file of a folder with other values; ... takes a key out."""

    def change(here: Path) -> None:
        content = json.loads((here / name).read_text()) | changes
        kept = {key: value for key, value in content.items() if value is not ...}
        (here / name).write_text(json.dumps(kept))

    return copy_of(place, change)


RESUME = "train output_dir=run resume=true adapter.r=2 trainer.max_steps=2 trainer.save_steps=1"
EVALUATE = "evaluate adapter_path=run/adapter"
ADAPTER = "adapter/adapter_config.json"
STATE, WEIGHTS = "checkpoints/step-000002/state.pt", "adapter_model.safetensors"

CASES = [
    case("train data.path=rows", "rows/train.json", given=files({"rows/train.json": ""})),
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
]
