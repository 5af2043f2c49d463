"""The predictions of one benchmark while it is being scored: one file for each process."""

import json
import os
from pathlib import Path
from typing import Any, TextIO

from denselora.files import read_lines, write_text


class Partial:
    """`<benchmark>.partial-<process>.jsonl` files, a line per batch, merged when all is done.

    Appending line by line lets a killed evaluation go on where it was, with any number of
    processes; a line that was cut off in the middle is dropped.
    """

    def __init__(self, folder: Path, benchmark: str):
        self.folder, self.benchmark = folder, benchmark
        self.whole = folder / f"{benchmark}.jsonl"

    def file(self, process: int) -> Path:
        return self.folder / f"{self.benchmark}.partial-{process}.jsonl"

    def done(self) -> dict[int, dict[str, Any]]:
        """The predictions that exist already, by number."""
        return {row["id"]: row for batches in self._batches() for b in batches for row in b["rows"]}

    def open(self, process: int) -> TextIO:
        """The process's file, to append to, ended after its last whole line."""
        file = self.file(process)
        if file.is_file():
            write_text(file, "".join(json.dumps(b, ensure_ascii=False) + "\n" for b in read(file)))
        return file.open("a", encoding="utf-8")

    def merge(self) -> float:
        """Write `<benchmark>.jsonl` from all processes' files; returns the seconds it took.

        The file holds nothing that depends on how the rows were shared out or when they were done.
        """
        seconds = max((sum(b["seconds"] for b in each) for each in self._batches()), default=0.0)
        done = self.done()
        lines = [json.dumps(done[i], ensure_ascii=False) + "\n" for i in sorted(done)]
        write_text(self.whole, "".join(lines))
        return seconds

    def remove(self) -> None:
        for file in self._files():
            os.remove(file)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.benchmark}.partial-*.jsonl"))

    def _batches(self) -> list[list[dict[str, Any]]]:
        return [read(file) for file in self._files()]


def append(out: TextIO, rows: list[dict[str, Any]], seconds: float) -> None:
    """Add a batch to a partial file."""
    line = {"seconds": round(seconds, 4), "rows": rows}
    out.write(json.dumps(line, ensure_ascii=False) + "\n")
    out.flush()


def read(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a partial file."""
    batches = []
    for line in read_lines(file):
        try:
            batches.append(json.loads(line))
        except (ValueError, RecursionError):  # cut off
            break
        if not _is_batch(batches[-1]):  # damaged: its rows are answered again
            batches.pop()
            break
    return batches


def _is_batch(content: Any) -> bool:
    try:
        return all(isinstance(row["id"], int) for row in content["rows"]) and (
            isinstance(content["seconds"], int | float)
        )
    except (TypeError, KeyError):
        return False
