"""Writing results so that a stop in the middle leaves nothing half-written."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

from denselora.errors import UserError, first_line


def check_writable(folder: Path, option: str) -> None:
    """Raise UserError unless the folder, or the nearest folder above that exists, takes files."""
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise UserError(f"{option}={folder}: {above} is a file; choose another folder")
    probe = above / f".denselora-probe-{token_hex(8)}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{option}={folder}: can't be written ({error.strerror}); choose another folder"
        ) from None


PARTIAL = ".partial"  # at the end of the name that a file has while it is written


@contextlib.contextmanager
def writing(path: Path, then: str = "run again") -> Iterator[None]:
    """For the writing of a file or folder: makes the folders above it; UserError for an OSError.

    then: what to do when the cause is fixed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise UserError(f"{path}: can't be written ({reason}); fix that and {then}") from None


def read_lines(file: Path) -> list[bytes]:
    """The lines of a JSON Lines file, not decoded: a kill can cut the last one within a character.

    "\\n" alone ends a line. str.splitlines would also cut at U+2028, U+2029 and U+0085, which JSON
    has inside its strings.
    """
    content = file.read_bytes()
    return content.removesuffix(b"\n").split(b"\n") if content else []


def flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are on the disk: a rename can be there
    before what was renamed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(file: Path, text: str, then: str = "run again") -> None:
    """Write a text file as `write_bytes` does."""
    write_bytes(file, text.encode(), then)


def write_bytes(file: Path, content: bytes, then: str = "run again") -> None:
    """Write a file whole or not at all, and the folders above it; it is on the disk then.

    Of several processes that write the same file at once, on whatever machines, the last stays.
    Raises as `writing` does.
    """
    partial = file.with_name(f"{file.name}.{token_hex(4)}{PARTIAL}")
    with writing(file, then):
        try:
            partial.write_bytes(content)
            flush(partial)
            os.replace(partial, file)
            flush(file.parent)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


def write_json(file: Path, content: Any, then: str = "run again") -> None:
    """Write JSON, indented and in the order of its keys, as `write_text` does."""
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n", then)
