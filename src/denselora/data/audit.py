"""What a data folder holds: counts, balance, repeats, conflicts, and test rows seen in training.

Two prompts are the same exactly, or normalised: lower case, with every run of characters other than
letters, digits and _ as one space. Row numbers count from 1, as in error messages; only the overlap
file counts from 0, as predictions do.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from denselora.data.dataset import encode
from denselora.data.rebuild import DIFFERENCES
from denselora.data.rows import read_rows
from denselora.data.sources import blob_id
from denselora.errors import UserError
from denselora.protocol import Protocol
from denselora.readers import read_json
from denselora.tasks import SUITES, Benchmark, offered
from denselora.typeset import markdown, markdown_row

OVERLAP = "overlap.json"
# JSON beside training files that holds no rows
NOT_ROWS = (OVERLAP, DIFFERENCES, "neutral.json")
BATCH = 1000  # rows tokenised together


@dataclass(frozen=True)
class RowsAudit:
    """What can be said of any file of rows.

    repeated: rows whose prompt and answer an earlier row has. conflicting: rows whose prompt some
    other row answers differently. formats: rows per "Answer format", "none" where there is none.
    """

    file: Path
    rows: int
    repeated: list[int]
    conflicting: list[int]
    formats: Counter[str]


@dataclass(frozen=True)
class TestAudit:
    """What can be said of a benchmark's test set besides.

    golds: rows per gold answer. unusual: rows whose gold is beyond the options that chance counts
    (answer5 in ARC), or no number where one is due. misread: rows whose own output isn't read as
    its gold.
    """

    benchmark: Benchmark
    content: RowsAudit
    golds: Counter[str]
    unusual: list[int]
    misread: list[int]


@dataclass(frozen=True)
class Overlap:
    """The rows of one test set whose prompt one training file has.

    exact: the prompt letter for letter. normalised: these and the ones that differ only in case,
    punctuation or spacing. other_gold: of the normalised, those that training answers otherwise.
    """

    training: Path
    benchmark: Benchmark
    exact: list[int]
    normalised: list[int]
    other_gold: list[int]


@dataclass(frozen=True)
class Audit:
    """All findings on one folder. overlong: rows beyond the cut-off, None without a tokenizer."""

    folder: Path
    protocol: Protocol
    tests: list[TestAudit]
    training: list[RowsAudit]
    overlaps: list[Overlap]
    overlong: dict[Path, int] | None


def audit(
    folder: Path, protocol: Protocol, tokenizer: PreTrainedTokenizerBase | None = None
) -> Audit:
    """Audit a folder in the LLM-Adapters layout.

    Every `<benchmark>/test.json` of a known benchmark is a test set; every other JSON file in the
    folder itself, and every `<benchmark>/train.json`, is a training file.

    Raises UserError for a folder of another shape and for malformed rows.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; run `make data`, or name one that is there")
    known = [benchmark for suite in SUITES.values() for benchmark in suite]
    found = [one for one in known if one.test_file(folder).is_file()]
    if not found:
        raise UserError(
            f"{folder}: holds no test set; expected <benchmark>/test.json, with the training JSON "
            f"beside the folders; benchmarks are {', '.join(one.name for one in known)}"
        )
    training_files = sorted(file for file in folder.glob("*.json") if file.name not in NOT_ROWS)
    training_files += [
        file for one in found if (file := folder / one.name / "train.json").is_file()
    ]
    tests = {one: _Rows(one.test_file(folder), scored=True) for one in found}
    training, overlaps, overlong = [], [], {}
    for file in training_files:
        rows = _Rows(file)
        training.append(_audit_rows(rows))
        exact, normalised = set(rows.prompts), _golds_by_prompt(rows.normalised, rows.golds)
        overlaps += [_overlap(file, exact, normalised, one, test) for one, test in tests.items()]
        if tokenizer is not None:
            overlong[file] = _count_overlong(rows, tokenizer, protocol)
    return Audit(
        folder=folder,
        protocol=protocol,
        tests=[_audit_test(one, test) for one, test in tests.items()],
        training=training,
        overlaps=overlaps,
        overlong=overlong if tokenizer is not None else None,
    )


def normalise(prompt: str) -> str:
    """The prompt without case, punctuation and spacing."""
    return re.sub(r"\W+", " ", prompt.casefold()).strip()


class _Rows:
    """One file's rows, and their prompts as they are and normalised."""

    def __init__(self, file: Path, scored: bool = False):
        self.file = file
        self.dataset = read_rows(file, scored=scored)
        self.instructions = self.dataset["instruction"][:]
        self.prompts = [
            f"{instruction}\n{given}" if given else instruction
            for instruction, given in zip(self.instructions, self.dataset["input"][:], strict=True)
        ]
        self.normalised = [normalise(prompt) for prompt in self.prompts]
        self.golds = self.dataset["answer"][:]

    def __len__(self) -> int:
        return len(self.golds)


def _golds_by_prompt(prompts: list[str], golds: list[str]) -> dict[str, set[str]]:
    answers = defaultdict(set)
    for prompt, gold in zip(prompts, golds, strict=True):
        answers[prompt].add(gold)
    return answers


def _audit_rows(rows: _Rows) -> RowsAudit:
    golds = _golds_by_prompt(rows.prompts, rows.golds)
    seen, repeated, conflicting = set(), [], []
    formats = Counter("/".join(offered(text)) or "none" for text in rows.instructions)
    for number, row in enumerate(zip(rows.prompts, rows.golds, strict=True), start=1):
        prompt, _ = row
        if row in seen:
            repeated.append(number)
        seen.add(row)
        if len(golds[prompt]) > 1:
            conflicting.append(number)
    return RowsAudit(rows.file, len(rows), repeated, conflicting, formats)


def _audit_test(benchmark: Benchmark, rows: _Rows) -> TestAudit:
    unusual, misread = [], []
    outputs = rows.dataset["output"][:]
    for number, (gold, output) in enumerate(zip(rows.golds, outputs, strict=True), start=1):
        if not _is_usual(benchmark, gold):
            unusual.append(number)
        elif not benchmark.is_right(benchmark.read(output), gold):
            misread.append(number)
    return TestAudit(benchmark, _audit_rows(rows), Counter(rows.golds), unusual, misread)


def _is_usual(benchmark: Benchmark, gold: str) -> bool:
    if benchmark.answers:
        return gold in benchmark.answers[: round(1 / benchmark.chance)]
    try:
        float(gold)
    except ValueError:
        return False
    return True


def _overlap(
    training: Path,
    exact: set[str],
    normalised: dict[str, set[str]],
    benchmark: Benchmark,
    rows: _Rows,
) -> Overlap:
    numbered = list(enumerate(zip(rows.prompts, rows.normalised, rows.golds, strict=True), start=1))
    alike = [(number, key, gold) for number, (_, key, gold) in numbered if key in normalised]
    return Overlap(
        training=training,
        benchmark=benchmark,
        exact=[number for number, (prompt, _, _) in numbered if prompt in exact],
        normalised=[number for number, _, _ in alike],
        other_gold=[number for number, key, gold in alike if gold not in normalised[key]],
    )


def _count_overlong(rows: _Rows, tokenizer: PreTrainedTokenizerBase, protocol: Protocol) -> int:
    desc = f"tokenising {rows.file.name}"
    with tqdm(total=len(rows), unit="row", desc=desc, disable=None) as bar:
        count = 0
        for start in range(0, len(rows), BATCH):
            batch = rows.dataset[start : start + BATCH]
            count += sum(encode(batch, tokenizer, protocol)["overlong"])
            bar.update(len(batch["answer"]))
    return count


def overlap_json(findings: Audit) -> str:
    """The overlap file: for each training file the test rows, from 0, that it has (normalised).

    `tests` and `training` hold each file's git blob id, so that `read_overlap` refuses another one.
    """
    rows = defaultdict(dict)
    for one in findings.overlaps:
        name = str(one.training.relative_to(findings.folder))
        rows[name][one.benchmark.name] = [number - 1 for number in one.normalised]
    tests = {one.benchmark.name: blob_id(one.content.file) for one in findings.tests}
    training = {name: blob_id(findings.folder / name) for name in rows}
    content = {"tests": tests, "training": training, "overlap": rows}
    return json.dumps(content, indent=1) + "\n"


def read_overlap(
    file: Path, folder: Path, train_file: str, tests: Iterable[Path]
) -> dict[str, list[int]]:
    """Per benchmark, the row numbers from 0 to leave out after training on `train_file`.

    folder: of the data. tests: the `<benchmark>/test.json` files that will be scored.
    Raises UserError if the overlap file is missing, or was made for other files.
    """
    remedy = "make it anew with `make data-audit`"
    content = read_json(file, remedy)
    parts = [content.get(name) for name in ("overlap", "tests", "training")]
    if not all(isinstance(part, dict) for part in parts):
        raise UserError(f"{file}: no overlap file, it lacks overlap, tests or training; {remedy}")
    overlap, blobs, trained = parts
    if train_file not in overlap:
        raise UserError(f"{file}: knows nothing of the training file {train_file}; {remedy}")
    if trained.get(train_file) != blob_id(folder / train_file):
        raise UserError(f"{file}: was made for another {folder / train_file}; {remedy}")
    listed = {}
    for test in tests:
        name = test.parent.name
        if blobs.get(name) != blob_id(test):
            raise UserError(f"{file}: was made for another {test}; {remedy}")
        of_file = overlap[train_file]
        rows = of_file.get(name) if isinstance(of_file, dict) else None
        if not isinstance(rows, list) or not all(type(row) is int and row >= 0 for row in rows):
            raise UserError(f"{file}: the rows of {name} are no list of row numbers; {remedy}")
        listed[name] = rows
    return listed


def report(findings: Audit) -> str:
    """The findings as Markdown."""
    sections = [
        f"# Data audit of {findings.folder}",
        "Row numbers count from 1.",
        "## Test sets",
        _table([_test_cells(one) for one in findings.tests]),
        "repeated: an earlier row has the same prompt and answer. conflicting: another row\n"
        "answers the same prompt differently. unusual gold: beyond the options that chance "
        "accuracy\ncounts (answer5 in ARC), or no number where one is due. own output read "
        "otherwise: reading\n"
        "the row's `output` as an answer doesn't give its `answer`.",
    ]
    tested = [one.benchmark for one in findings.tests]
    sections += [f"{one.label}: {one.note}." for one in tested if one.note]
    sections.append("## Training files")
    if not findings.training:
        return "\n\n".join([*sections, "None in this folder."]) + "\n"
    cutoff = f"Cut-off: {findings.protocol.cutoff} tokens (protocol {findings.protocol.name})."
    if findings.overlong is None:
        cutoff += " Counting needs the model's tokenizer: --tokenizer."
    sections += [
        _table([_training_cells(one, findings) for one in findings.training]),
        cutoff,
        "## Test rows in the training files",
    ]
    seen = [one for one in findings.overlaps if one.normalised]
    if seen:
        sections += [
            _table([_overlap_cells(one, findings) for one in seen]),
            "normalised: lower case, every run of other characters than letters, digits and _ as\n"
            "one space; it includes the exact ones.",
        ]
    else:
        sections.append("None, exactly or normalised.")
    return "\n\n".join(sections) + "\n"


def _test_cells(one: TestAudit) -> dict[str, str]:
    _, most = one.golds.most_common(1)[0]
    return {
        "benchmark": one.benchmark.label,
        "rows": f"{one.content.rows:,}",
        "published": f"{one.benchmark.test_rows:,}",
        "gold answers": _balance(one),
        "most frequent": f"{100 * most / one.content.rows:.1f} %",
        "repeated": _numbers(one.content.repeated),
        "conflicting": _numbers(one.content.conflicting),
        "unusual gold": _numbers(one.unusual),
        "own output read otherwise": _numbers(one.misread),
    }


def _training_cells(one: RowsAudit, findings: Audit) -> dict[str, str]:
    overlong = "not counted" if findings.overlong is None else f"{findings.overlong[one.file]:,}"
    return {
        "file": str(one.file.relative_to(findings.folder)),
        "rows": f"{one.rows:,}",
        "by answer format": ", ".join(f"{name} {n:,}" for name, n in sorted(one.formats.items())),
        "repeated": _numbers(one.repeated),
        "conflicting": _numbers(one.conflicting),
        "longer than the cut-off": overlong,
    }


def _overlap_cells(one: Overlap, findings: Audit) -> dict[str, str]:
    rows = next(t.content.rows for t in findings.tests if t.benchmark is one.benchmark)
    return {
        "training file": str(one.training.relative_to(findings.folder)),
        "benchmark": one.benchmark.label,
        "exact": f"{len(one.exact):,}",
        "normalised": _numbers(one.normalised),
        "with another answer": _numbers(one.other_gold),
        "of rows": f"{100 * len(one.normalised) / rows:.2f} %",
    }


def _balance(one: TestAudit) -> str:
    if not one.benchmark.answers:
        return f"{len(one.golds):,} numbers"
    return ", ".join(f"{gold} {n:,}" for gold, n in sorted(one.golds.items()))


def _numbers(rows: list[int]) -> str:
    """How many rows, and the first few of their numbers."""
    if not rows:
        return "0"
    shown = ", ".join(map(str, rows[:3])) + (", …" if len(rows) > 3 else "")
    return f"{len(rows):,} (row {shown})"


def _table(rows: list[dict[str, str]]) -> str:
    head = list(rows[0])
    cells = [head, ["---"] * len(head), *(row.values() for row in rows)]
    return "\n".join(markdown_row(map(markdown, row)) for row in cells)
