"""One process writes to a folder at a time."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from denselora.errors import UserError, first_line
from denselora.files import PARTIAL, writing

LOCK = ".lock"
TRIES, WAIT_S = 10, 0.05  # who asks whether it is held holds it for an instant


def is_empty(folder: Path) -> bool:
    """Whether a folder isn't there or holds nothing but hidden files, as its lock is, and what a
    kill left of one that was being written."""
    return not folder.exists() or all(
        path.name.startswith(".") or path.name.endswith(PARTIAL) for path in folder.iterdir()
    )


@contextlib.contextmanager
def locked(folder: Path, option: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the folder's lock, and make the folder; one that is still empty at the end is removed.

    The lock is the kernel's, on the file .lock: it ends with the process, however that ends.

    option: which names the folder. wait: for the end of another process that holds the lock, where
    that is soon. Raises UserError, saying who holds it, if another process does, or if the file
    system has no locks.
    """
    made = not folder.exists()
    file = _taken(folder, option, wait)
    try:
        file.truncate(0)
        file.write(
            f"process {os.getpid()} on {socket.gethostname()} since "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
        file.flush()
        yield
    finally:
        # before the lock goes: after, it could be another process's
        (folder / LOCK).unlink(missing_ok=True)
        if made and is_empty(folder):
            with contextlib.suppress(OSError):  # another process has come
                folder.rmdir()
        file.close()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock."""
    try:
        with (folder / LOCK).open("rb") as file:
            return not take(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def take(file: IO, kind: int, tries: int = 1) -> bool:
    """Take the kernel's lock on an open file, without waiting; whether no other process has it.

    kind: fcntl.LOCK_EX or LOCK_SH. tries: `TRIES` if it may only be asked for. Raises OSError if
    the file system has no locks.
    """
    for number in range(tries):
        time.sleep(WAIT_S if number else 0)
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _taken(folder: Path, option: str, wait: bool) -> IO:
    path = folder / LOCK
    while True:
        with writing(path):
            file = path.open("a+", encoding="utf-8")
        try:
            free = take(file, fcntl.LOCK_EX, TRIES)
        except OSError as error:
            file.close()
            raise UserError(
                f"{option}={folder}: can't be locked ({first_line(error)}); choose a folder on "
                "another file system"
            ) from None
        if not free:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            if wait:
                continue
            raise UserError(
                f"{option}={folder}: {holder} writes to it; wait for its end or choose another "
                "folder"
            )
        # its holder may have removed the file between opening and locking; on NFS the path could
        # still show it for seconds, but what is locked is asked for anew
        with contextlib.suppress(OSError):
            if os.fstat(file.fileno()).st_nlink:
                return file
        file.close()
