"""The test rows of an evaluation."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from denselora.data.order import shuffled
from denselora.data.rows import FIELDS, read_rows
from denselora.errors import UserError
from denselora.evaluation.share import share
from denselora.tasks import Benchmark, benchmarks
from denselora.tasks import offered as named_by


@dataclass(frozen=True)
class BenchmarkRows:
    """A benchmark and those of its rows that are asked. full_n: how many it has in all."""

    benchmark: Benchmark
    rows: Dataset
    full_n: int

    @property
    def hash(self) -> str:
        """sha256 of the rows that are asked, with their golds."""
        rows = [[row[field] for field in (*FIELDS, "answer")] for row in self.rows]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def own(self) -> int:
        """How many of them this process answers."""
        return len(share(range(len(self.rows))))


def read_benchmarks(config: dict[str, Any]) -> list[BenchmarkRows]:
    """The rows of the benchmarks that the config's `tasks`, `data` and `limit` choose.

    Raises UserError for a missing folder or file, and for a row that no answer could match.
    """
    root = Path(config["data"]["path"])
    if not root.is_dir():
        raise UserError(
            f"data.path={root}: no such folder; give one with <benchmark>/test.json, or run "
            "`make data`"
        )
    chosen = benchmarks(config["tasks"], config["data"]["suite"], root)
    whole = [(each, _read_test(each, root)) for each in chosen]
    return [BenchmarkRows(each, _limited(rows, config["limit"]), len(rows)) for each, rows in whole]


def _read_test(benchmark: Benchmark, root: Path) -> Dataset:
    file = benchmark.test_file(root)
    rows = read_rows(file, scored=True)
    for number, (text, gold) in enumerate(
        zip(rows["instruction"], rows["answer"], strict=True), start=1
    ):
        named, offered = named_by(text), benchmark.options(text)
        known = set(benchmark.answers).intersection(named)
        if benchmark.answers and named and not 1 < len(known) == len(named):
            raise UserError(
                f"{file}: row {number} offers {'/'.join(named)!r}, expected two or more "
                f"different ones of {', '.join(benchmark.answers)}; fix it"
            )
        if not benchmark.can_be_gold(gold) or (offered and gold not in offered):
            known = ", ".join(offered) or "a number"
            raise UserError(
                f"{file}: row {number}, field 'answer' is {gold!r}, expected {known}; fix it"
            )
    return rows


def _limited(rows: Dataset, limit: int | None) -> Dataset:
    """The first `limit` rows of a fixed shuffle: test files can be sorted by topic."""
    if limit is None or limit >= len(rows):
        return rows
    return rows.select(sorted(shuffled(len(rows), 0, "limit")[:limit]))
