"""Writing results so that a stop in the middle leaves nothing half-written."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from denselora.errors import UserError


def check_writable(folder: Path, option: str) -> None:
    """Raise UserError unless the folder, or the nearest folder above that exists, takes files."""
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise UserError(f"{option}={folder}: {above} is a file; choose another folder")
    probe = above / f".denselora-probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{option}={folder}: can't be written ({error.strerror}); choose another folder"
        ) from None


def write_text(file: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, file)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write_json(file: Path, content: Any) -> None:
    """Write JSON, indented and in the order of its keys, whole or not at all."""
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
