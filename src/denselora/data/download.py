"""One file over HTTP: resumed where it broke off, checked, and put in place whole.

Bytes go to `<target>.part`. Only a file that passes its check gets the target's name, so whatever
has that name is complete. A part is kept when the connection fails, to be resumed by the next run,
and removed when its content is wrong.
"""

import http.client
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from denselora.errors import UserError
from denselora.files import writing

CHUNK = 1 << 16  # bytes
Checked = TypeVar("Checked")


class FetchError(UserError):
    """A file could not be had, or is not the one that was published."""

    exit_code = 1


class UnreachableError(FetchError):
    """The place it was to come from could not be reached."""


class _Interrupted(Exception):
    """The connection failed in a way that another try may fix."""


def fetch(
    url: str,
    target: Path,
    check: Callable[[Path], Checked],
    *,
    timeout: float = 30.0,
    attempts: int = 4,
    pause: float = 1.0,
) -> Checked:
    """Download `url` to `target`, going on from `<target>.part` if an earlier run left one.

    check: called with the finished part; raises FetchError if the content is wrong. What it
        returns is returned.
    timeout: seconds without any data after which a connection counts as stalled.
    attempts: connections in a row that may bring nothing new before giving up.
    pause: seconds before the second try, doubled each time.

    Raises FetchError (network, content) or UserError (the target cannot be written).
    """
    part = target.with_name(f"{target.name}.part")
    with writing(target):
        _receive_all(url, part, timeout, attempts, pause)
        try:
            checked = check(part)
        except FetchError:
            part.unlink()
            raise
        os.replace(part, target)
        return checked


def _receive_all(url: str, part: Path, timeout: float, attempts: int, pause: float) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            return _receive(url, part, timeout)
        except _Interrupted as error:
            # a connection that brought something new is progress, however often it breaks
            failures = 1 if _size(part) > before else failures + 1
            if failures >= attempts:
                raise UnreachableError(f"{url}: {error}; run again to resume") from None
            time.sleep(pause * 2 ** (failures - 1))


def _receive(url: str, part: Path, timeout: float) -> None:
    """One connection: append to the part, or begin anew if the server sends the whole file."""
    start = _size(part)
    with _connect(url, start, timeout) as response:
        if start and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            mode = "ab"
        else:
            mode, start = "wb", 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        with (
            open(part, mode) as file,
            tqdm(
                desc=part.name.removesuffix(".part"),
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                disable=None,  # silent when stderr is no terminal
            ) as progress,
        ):
            for data in _chunks(response, timeout):
                file.write(data)
                progress.update(len(data))
    if total is not None and _size(part) < total:
        raise _Interrupted(f"cut off after {_size(part):,} of {total:,} bytes")


def _connect(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    request = Request(url, headers={"User-Agent": "denselora"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        return urlopen(request, timeout=timeout)
    except HTTPError as error:
        if error.code == 416:  # the part is no beginning of this file: ask for all of it
            return _connect(url, 0, timeout)
        answer = f"the server answered {error.code} {error.reason}"
        if error.code in (408, 429) or error.code >= 500:
            raise _Interrupted(answer) from None
        raise FetchError(f"{url}: {answer}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _failure(error, timeout) from None


def _chunks(response: http.client.HTTPResponse, timeout: float) -> Iterator[bytes]:
    while True:
        try:
            data = response.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _failure(error, timeout) from None
        if not data:
            return
        yield data


def _failure(error: Exception, timeout: float) -> _Interrupted:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return _Interrupted(f"no data for {timeout:g} s (timeout)")
    return _Interrupted(f"the connection failed ({reason})")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
