"""The second source: the same rows, rebuilt from the original datasets on the Hugging Face hub.

For those who would rather not trust the repackaging. LLM-Adapters turned each dataset's rows into
an instruction by a fixed template, which tasks/ has. `compare` says how far two files hold the same
rows.

commonsense_170k is the concatenation of the datasets' training splits. WinoGrande gives all six of
its training sizes, 160 + 640 + 2,558 + 10,234 + 40,398 + 9,248 (debiased) = 63,238 rows.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import datasets
from datasets.exceptions import DatasetGenerationError
from tqdm import tqdm

from denselora.data.download import FetchError
from denselora.data.sources import blob_id, published
from denselora.errors import UserError, first_line
from denselora.files import write_text
from denselora.readers import read_json
from denselora.tasks import Benchmark

REBUILT = "commonsense_original"  # the folder's name below the data folder
DIFFERENCES = "differences.json"  # beside what was rebuilt
TRAINING_FILE = "commonsense_170k.json"

Row = dict[str, str]


def rebuild(
    benchmarks: Iterable[Benchmark],
    data_dir: Path,
    *,
    mirror: Path | None = None,
) -> None:
    """Write the rebuilt rows to `<data_dir>/commonsense_original/` in the LLM-Adapters layout.

    mirror: a folder with `<owner>/<dataset>/` folders, as `hf download --local-dir` leaves them,
        instead of the hub.

    Prints for each file whether it is the published one, byte for byte, or else how many rows it
    shares with the one under `<data_dir>/commonsense/`; rows that only one of the two has are left
    in `differences.json`.
    Raises UserError (mirror missing, folder not writable) or FetchError.
    """
    if mirror is not None and not mirror.is_dir():
        raise UserError(f"--from {mirror}: no such folder")
    training: list[Row] = []
    differences = {}
    for benchmark in benchmarks:
        file = str(benchmark.test_file(Path()))
        hub = benchmark.hub
        test = _rows(benchmark, hub.configs[:1], hub.test, mirror)
        differences[file] = _write_and_compare(file, test, data_dir)
        if benchmark.is_published:
            training += _rows(benchmark, hub.configs, "train", mirror)
    differences[TRAINING_FILE] = _write_and_compare(TRAINING_FILE, training, data_dir)
    differing = {file: rows for file, rows in differences.items() if rows}
    write_text(data_dir / REBUILT / DIFFERENCES, json.dumps(differing, indent=1))


def _rows(
    benchmark: Benchmark, configs: Iterable[str | None], split: str, mirror: Path | None
) -> list[Row]:
    hub = benchmark.hub
    path = hub.name if mirror is None else str(mirror / hub.name)
    rows = []
    for config in configs:
        name = "/".join(filter(None, (path, config, split)))
        try:
            hub_rows = datasets.load_dataset(
                path, config, split=split, revision=hub.revision if mirror is None else None
            )
        except (OSError, ValueError, RuntimeError, DatasetGenerationError) as error:
            raise FetchError(f"{name}: cannot be loaded ({first_line(error)})") from None
        for number, hub_row in enumerate(tqdm(hub_rows, desc=name, disable=None), start=1):
            try:
                rows.append(benchmark.row(*hub.question(hub_row)))
            except KeyError as error:
                raise FetchError(f"{name}: row {number} has no field {error}") from None
            except (ValueError, IndexError, TypeError) as error:
                raise FetchError(f"{name}: row {number} has no usable label ({error})") from None
    return rows


@dataclass(frozen=True)
class Comparison:
    """How far two lists hold the same rows; each row counts as often as it occurs."""

    common: int
    only_left: list[Row]
    only_right: list[Row]
    same_order: bool

    def __str__(self) -> str:
        if not self.only_left and not self.only_right:
            return "the same rows" + (" in the same order" if self.same_order else ", reordered")
        return f"{self.common:,} rows in both, {len(self.only_left):,} only in the first, " + (
            f"{len(self.only_right):,} only in the second"
        )


def compare(left: list[Row], right: list[Row]) -> Comparison:
    """Compare two lists of rows field for field, whatever their order."""
    keys_left, keys_right = ([tuple(sorted(row.items())) for row in rows] for rows in (left, right))
    count_left, count_right = Counter(keys_left), Counter(keys_right)
    return Comparison(
        common=(count_left & count_right).total(),
        only_left=[dict(key) for key in (count_left - count_right).elements()],
        only_right=[dict(key) for key in (count_right - count_left).elements()],
        same_order=keys_left == keys_right,
    )


def _rows_of(file: Path) -> list[Row]:
    fix = "delete it and fetch it anew by `make data`"
    rows = read_json(file, fix, list)
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{file}: not a list of rows; {fix}")
    return rows


def _write_and_compare(file: str, rows: list[Row], data_dir: Path) -> dict[str, list[Row]] | None:
    """Write one file and print its line; the rows that differ, None if none do."""
    target = data_dir / REBUILT / file
    write_text(target, json.dumps(rows, indent=4))  # LLM-Adapters' own layout, to the byte
    blobs = {one.target: one.blob for one in published("commonsense")}
    other = data_dir / "commonsense" / file
    differences = None
    if blob_id(target) == blobs.get(f"commonsense/{file}"):
        finding = "byte for byte the published file"
    elif other.is_file():
        result = compare(_rows_of(other), rows)
        finding = f"against {other}: {result}"
        if result.only_left or result.only_right:
            differences = {"only published": result.only_left, "only rebuilt": result.only_right}
    elif f"commonsense/{file}" not in blobs:
        finding = "not among the published files"
    else:
        finding = f"not the published file; to compare rows, get {other} by `make data`"
    print(f"{target}: {len(rows):,} rows; {finding}")
    return differences
