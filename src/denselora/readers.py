"""Reading files that may hold anything: damage is one line that names the file and the fix."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from denselora.errors import UserError, first_line

BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
PLAIN = "save it as UTF-8 without a byte order mark"
# JSON's names for what Python makes of it
KINDS = {
    dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number",
    float: "a number", type(None): "null",
}  # fmt: skip


def check_file(file: Path, fix: str) -> None:
    """Raise UserError unless it is a regular file that can be opened: a named pipe would be waited
    for without end.

    fix: what to do about it, here and in all of this file.
    """
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror}); {fix}") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise UserError(f"{file}: {what}, not a file; {fix}")
    if not os.access(file, os.R_OK):
        raise UserError(f"{file}: can't be read (Permission denied); {fix}")


def read_head(file: Path, fix: str, size: int = 512) -> bytes:
    """The first bytes of a file. Raises as `read_bytes` does."""
    check_file(file, fix)
    try:
        with file.open("rb") as opened:
            head = opened.read(size)
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror}); {fix}") from None
    _refuse_foreign(head, file, fix)
    return head


def read_bytes(file: Path, fix: str) -> bytes:
    """All of a file.

    Raises UserError if it can't be read, is empty, or is something that takes a file's place after
    a download that went wrong: a Git LFS pointer or an HTML page.
    """
    check_file(file, fix)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror}); {fix}") from None
    _refuse_foreign(content[:512], file, fix)
    return content


def read_text(file: Path, fix: str) -> str:
    """All of a text file. Raises as `read_bytes` and `decoded` do."""
    return decoded(read_bytes(file, fix), str(file), fix)


def read_json(file: Path, fix: str, kind: type = dict) -> Any:
    """What a JSON file holds. Raises as `read_text` and `parsed` do."""
    return parsed(read_text(file, fix), str(file), fix, kind)


def decoded(content: bytes, where: str, fix: str) -> str:
    """UTF-8 text without a byte order mark. where: the file, as the error's beginning.

    Raises UserError for text in another encoding.
    """
    if content.startswith(BOM):
        raise UserError(f"{where}: begins with a byte order mark ({PLAIN}); {fix}")
    if content.startswith(UTF_16) or b"\0" in content[:4]:
        raise UserError(f"{where}: UTF-16 or UTF-32 text, not UTF-8 ({PLAIN}); {fix}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: not UTF-8 text, see byte {error.start} ({PLAIN}); {fix}"
        ) from None


def parsed(text: str, where: str, fix: str, kind: type = dict) -> Any:
    """What JSON text says. Raises UserError if it is malformed or of another kind than `kind`."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: malformed JSON in line {error.lineno}, column {error.colno} ({error.msg}); "
            f"{fix}"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of too many digits; too deep
        raise UserError(f"{where}: JSON that can't be read ({first_line(error)}); {fix}") from None
    if not isinstance(content, kind):
        raise UserError(f"{where}: {KINDS[type(content)]}, expected {KINDS[kind]}; {fix}")
    return content


def _refuse_foreign(head: bytes, file: Path, fix: str) -> None:
    start = head.removeprefix(BOM).lstrip().lower()
    if not head:
        raise UserError(f"{file}: empty; {fix}")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"{file}: a Git LFS pointer (`git lfs pull` fetches the file); {fix}")
    if start.startswith((b"<!doctype html", b"<html")):
        raise UserError(f"{file}: an HTML page, as a failed download leaves; {fix}")
