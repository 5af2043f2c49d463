"""The second source: the same rows, rebuilt from the original datasets on the Hugging Face hub.

For those who would rather not trust the repackaging. LLM-Adapters turned each dataset's rows into
an instruction by a fixed template; the templates below are read off its files. `compare` says how
far two files hold the same rows.

commonsense_170k is the concatenation of the datasets' training splits. WinoGrande gives all six of
its training sizes, 160 + 640 + 2,558 + 10,234 + 40,398 + 9,248 (debiased) = 63,238 rows.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import datasets
from datasets.exceptions import DatasetGenerationError
from tqdm import tqdm

from denselora.data.download import FetchError
from denselora.data.sources import blob_id, published
from denselora.errors import UserError, first_line
from denselora.files import write_text

REBUILT = "commonsense_original"  # the folder's name below the data folder
TRAINING_FILE = "commonsense_170k.json"

Row = dict[str, str]


@dataclass(frozen=True)
class Original:
    """One dataset on the hub and how its rows become ours.

    configs: the training rows are those of all configs; the test rows are the first one's.
    test_split: the split with public labels that the field tests on.
    question: hub row -> instruction without its "Answer format", answer words, index of the gold.
    """

    benchmark: str
    hub_id: str
    test_split: str
    question: Callable[[dict], tuple[str, list[str], int]]
    configs: tuple[str | None, ...] = (None,)
    revision: str | None = None

    def row(self, hub_row: dict) -> Row:
        """One row in the LLM-Adapters format; KeyError, ValueError or IndexError if it can't."""
        text, words, gold = self.question(hub_row)
        if gold < 0:
            raise ValueError("the label is hidden")
        answer = words[gold]
        return {
            "instruction": f"{text}Answer format: {'/'.join(words)}",
            "input": "",
            "output": f"the correct answer is {answer}",
            "answer": answer,
        }


def _choices(
    ask: str, word: str, options: list[str], gold: int, between: str = " ", after: str = "\n\n"
) -> tuple[str, list[str], int]:
    listed = between.join(
        f"{word.capitalize()}{number}: {option}" for number, option in enumerate(options, start=1)
    )
    words = [f"{word}{number}" for number in range(1, len(options) + 1)]
    return f"{ask}\n\n{listed}{after}", words, gold


def _boolq(row: dict) -> tuple[str, list[str], int]:
    ask = "Please answer the following question with true or false, question: "
    return f"{ask}{row['question']}?\n\n", ["true", "false"], 0 if row["answer"] else 1


def _piqa(row: dict) -> tuple[str, list[str], int]:
    ask = f"Please choose the correct solution to the question: {row['goal']}"
    options = [row["sol1"], row["sol2"]]
    return _choices(ask, "solution", options, int(row["label"]), between="\n\n")


def _social_i_qa(row: dict) -> tuple[str, list[str], int]:
    ask = f"Please choose the correct answer to the question: {row['context']} {row['question']}"
    options = [row["answerA"], row["answerB"], row["answerC"]]
    return _choices(ask, "answer", options, int(row["label"]) - 1)


def _hellaswag(row: dict) -> tuple[str, list[str], int]:
    ask = (
        "Please choose the correct ending to complete the given sentence: "
        f"{row['activity_label']}: {row['ctx']}"
    )
    return _choices(ask, "ending", row["endings"], int(row["label"]))


def _winogrande(row: dict) -> tuple[str, list[str], int]:
    ask = (
        "Please choose the correct answer to fill in the blank to complete the given sentence: "
        f"{row['sentence']}"
    )
    options = [row["option1"], row["option2"]]
    return _choices(ask, "option", options, int(row["answer"]) - 1, after=" ")


def _lettered(stem: str) -> Callable[[dict], tuple[str, list[str], int]]:
    """ARC and OpenBookQA: options with labels (letters, in some ARC rows digits)."""

    def question(row: dict) -> tuple[str, list[str], int]:
        ask = f"Please choose the correct answer to the question: {row[stem]}"
        choices = row["choices"]
        return _choices(ask, "answer", choices["text"], choices["label"].index(row["answerKey"]))

    return question


ORIGINALS = (
    Original("boolq", "google/boolq", "validation", _boolq),
    # the dataset's own branch is a loading script, which `datasets` no longer runs
    Original("piqa", "ybisk/piqa", "validation", _piqa, revision="refs/convert/parquet"),
    # allenai/social_i_qa is a script too; this copy has the same content
    Original("social_i_qa", "lighteval/siqa", "validation", _social_i_qa),
    Original("hellaswag", "Rowan/hellaswag", "validation", _hellaswag),
    Original(
        "winogrande",
        "allenai/winogrande",
        "validation",
        _winogrande,
        tuple(f"winogrande_{size}" for size in ("xs", "s", "m", "l", "xl", "debiased")),
    ),
    Original("ARC-Easy", "allenai/ai2_arc", "test", _lettered("question"), ("ARC-Easy",)),
    Original("ARC-Challenge", "allenai/ai2_arc", "test", _lettered("question"), ("ARC-Challenge",)),
    Original("openbookqa", "allenai/openbookqa", "test", _lettered("question_stem"), ("main",)),
)


def rebuild(
    originals: Iterable[Original],
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
    for original in originals:
        file = f"{original.benchmark}/test.json"
        test = _rows(original, original.configs[:1], original.test_split, mirror)
        differences[file] = _write_and_compare(file, test, data_dir)
        training += _rows(original, original.configs, "train", mirror)
    differences[TRAINING_FILE] = _write_and_compare(TRAINING_FILE, training, data_dir)
    differing = {file: rows for file, rows in differences.items() if rows}
    write_text(data_dir / REBUILT / "differences.json", json.dumps(differing, indent=1))


def _rows(
    original: Original, configs: Iterable[str | None], split: str, mirror: Path | None
) -> list[Row]:
    path = original.hub_id if mirror is None else str(mirror / original.hub_id)
    rows = []
    for config in configs:
        name = "/".join(filter(None, (path, config, split)))
        try:
            hub_rows = datasets.load_dataset(
                path, config, split=split, revision=original.revision if mirror is None else None
            )
        except (OSError, ValueError, RuntimeError, DatasetGenerationError) as error:
            raise FetchError(f"{name}: cannot be loaded ({first_line(error)})") from None
        for number, hub_row in enumerate(tqdm(hub_rows, desc=name, disable=None), start=1):
            try:
                rows.append(original.row(hub_row))
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


def _write_and_compare(file: str, rows: list[Row], data_dir: Path) -> dict[str, list[Row]] | None:
    """Write one file and print its line; the rows that differ, None if none do."""
    target = data_dir / REBUILT / file
    write_text(target, json.dumps(rows, indent=4))  # LLM-Adapters' own layout, to the byte
    source = next(one for one in published("commonsense") if one.target == f"commonsense/{file}")
    other = data_dir / source.target
    differences = None
    if blob_id(target) == source.blob:
        told = "byte for byte the published file"
    elif other.is_file():
        result = compare(json.loads(other.read_bytes()), rows)
        told = f"against {other}: {result}"
        if result.only_left or result.only_right:
            differences = {"only published": result.only_left, "only rebuilt": result.only_right}
    else:
        told = f"not the published file; to compare rows, get {other} by `make data`"
    print(f"{target}: {len(rows):,} rows; {told}")
    return differences
