"""The published files: where each is, what it must be, and where it goes.

All come from LLM-Adapters at one commit. A file's git blob id (sha1 of "blob <size>\\0" and its
bytes) is the one that the repository itself holds, so a download can be verified without trusting
anybody's copy.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from denselora.data.download import FetchError, fetch
from denselora.errors import UserError
from denselora.files import writing
from denselora.lock import locked
from denselora.readers import check_file
from denselora.tasks import SUITES

REPOSITORY = "AGI-Edgerunners/LLM-Adapters"
COMMIT = "816657208af4db747803f87ba40a4c71383fed7a"
BASE_URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}"


@dataclass(frozen=True)
class SourceFile:
    """One published file.

    path: in the repository. target: below the data folder. blob: git blob id.
    rows: length of its JSON list; None where no independent count is known (the blob id decides).
    """

    path: str
    target: str
    blob: str
    rows: int | None

    def verify(self, file: Path) -> int:
        """The number of rows in `file`; FetchError naming expected and got if it is another."""
        got = blob_id(file)
        if got != self.blob:
            raise FetchError(
                f"{self.target}: not the published file: expected git blob {self.blob}, got {got} "
                f"({file.stat().st_size:,} bytes); re-serialising or other line endings change it"
            )
        rows = len(json.loads(file.read_bytes()))
        if self.rows is not None and rows != self.rows:
            raise FetchError(f"{self.target}: expected {self.rows:,} rows, got {rows:,}")
        return rows

    def kept(self, file: Path) -> int:
        """The same of a file that was there before, which is never overwritten."""
        try:
            return self.verify(file)
        except FetchError as error:
            raise FetchError(f"{error}; delete {file} to fetch it anew") from None


def blob_id(file: Path) -> str:
    """The id that git gives to the file's content, as 40 hex digits. Raises as `check_file`."""
    check_file(file, "delete it to fetch it anew")
    digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(file, "rb") as stream:
        for data in iter(lambda: stream.read(1 << 20), b""):
            digest.update(data)
    return digest.hexdigest()


_TRAINING = {
    "commonsense": (
        ("commonsense_170k.json", "529e426b33d4cdb1d0c4a275a1a7245ad081fd91", 170_420),
    ),
    "math": (
        ("math_10k.json", "27dba77d6ed80aa118d78fbafa5cecd651f6d463", None),
        ("math_7k.json", "fd93bf268b53bb644b38e71270cdf633951ba3e0", None),
    ),
}


def published(suite: str) -> tuple[SourceFile, ...]:
    """The files of one suite, the training sets first."""
    return tuple(
        SourceFile(f"ft-training_set/{name}", f"{suite}/{name}", blob, rows)
        for name, blob, rows in _TRAINING[suite]
    ) + tuple(
        SourceFile(
            path=str(one.test_file(Path("dataset"))),
            target=str(one.test_file(Path(suite))),
            blob=one.blob,
            rows=one.test_rows,
        )
        for one in SUITES[suite]
        if one.is_published
    )


def prepare(
    sources: Iterable[SourceFile],
    data_dir: Path,
    *,
    copy_from: Path | None = None,
    offline: bool = False,
    base_url: str = BASE_URL,
) -> None:
    """Make `data_dir` hold every file, each verified; print one line per file.

    A file that is already there is verified and left alone. Others come from `copy_from`, a
    checkout of LLM-Adapters or a folder laid out like ours, or else over the network, each by one
    process while others wait for it.

    Raises UserError (folder or file missing, folder not writable) or FetchError (network, or a
    file that is not the published one; a file already in `data_dir` is never overwritten).
    """
    if copy_from is not None and not copy_from.is_dir():
        raise UserError(f"--from {copy_from}: no such folder")
    for source in sources:
        target = data_dir / source.target
        missing = not target.exists()
        if missing and offline and copy_from is None:
            raise UserError(f"{target}: missing; run without --offline, or name a copy with --from")
        # two calls would write to the same part
        with locked(target.parent, "--data-dir", wait=True) if missing else nullcontext():
            if target.exists():
                rows, how = source.kept(target), "already there"
            elif copy_from is not None:
                rows, how = _copy(source, copy_from, target), f"copied from {copy_from}"
            else:
                rows = fetch(f"{base_url}/{source.path}", target, source.verify)
                how = "downloaded"
        print(f"{target}: {rows:,} rows, verified ({how})")


def _copy(source: SourceFile, folder: Path, target: Path) -> int:
    """Copy one file, checked before it gets its name; the number of its rows."""
    below_suite = source.target.split("/", 1)[1]
    places = [folder / source.path, folder / source.target, folder / below_suite]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(
            f"--from {folder}: holds neither {source.path} nor {below_suite}; expected a checkout "
            f"of {REPOSITORY} or a folder with <benchmark>/test.json and the training JSON"
        )
    part = target.with_name(f"{target.name}.part")
    try:
        with writing(target):
            shutil.copyfile(found, part)
            rows = source.verify(part)
            os.replace(part, target)
        return rows
    except FetchError as error:
        raise FetchError(f"--from {found}: {error}") from None
    finally:
        part.unlink(missing_ok=True)
