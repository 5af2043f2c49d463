"""Ways to damage a file or a folder."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch

from tests.wrong_input.case import Given, copy_of

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


def spoilt(place: str, name: str, spoil: Callable[[Path], object]) -> Given:
    return copy_of(place, lambda here: spoil(here / name))


def edited(place: str, name: str, **changes: object) -> Given:
    """A JSON file of a folder with other values; ... takes a key out."""

    def change(here: Path) -> None:
        content = json.loads((here / name).read_text()) | changes
        kept = {key: value for key, value in content.items() if value is not ...}
        (here / name).write_text(json.dumps(kept))

    return copy_of(place, change)
