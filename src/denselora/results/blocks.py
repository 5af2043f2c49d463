"""Records sorted into what may stand side by side: blocks of rows, one row per setting."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from omegaconf import OmegaConf
from pydantic import JsonValue

from denselora.command_line.configs import composed
from denselora.errors import UserError
from denselora.protocol import Protocol
from denselora.results.command import training_options
from denselora.results.predictions import aligned_outcomes
from denselora.results.published import PublishedTable
from denselora.results.record import Record
from denselora.results.setting import (
    Setting,
    differing_keys,
    in_words,
    setting_of,
    usual_values,
)
from denselora.results.statistics import Interval, mean_and_std, paired_bootstrap, welch
from denselora.tasks import benchmark
from denselora.typeset import MISSING

# what a table's columns show of a setting
SHOWN = {"r", "train_rows"}
# the paper's protocol for each suite
PAPER = {"commonsense": "paper", "math": "paper_math"}


@dataclass(frozen=True)
class Cell:
    """An accuracy in percent: of one run, or the mean over seeds."""

    mean: float
    std: float | None = None
    """Sample standard deviation over seeds; None for a single one."""
    ci95: Interval | None = None
    """95 % interval over test rows; None for several seeds."""


@dataclass(frozen=True)
class Difference:
    """Our average minus LoRA's, in points."""

    mean: float
    ci95: Interval | None
    """Of a paired bootstrap over test rows; None where predictions are missing."""
    p_over_seeds: float | None
    """Of Welch's test; None for a single seed."""

    @property
    def significant(self) -> bool | None:
        """Whether it is over test rows and, of several seeds, over seeds."""
        if self.ci95 is None:
            return None
        over_seeds = self.p_over_seeds is None or self.p_over_seeds < 0.05
        return over_seeds and not self.ci95[0] <= 0 <= self.ci95[1]


@dataclass(frozen=True)
class Row:
    """One setting of one method over its seeds."""

    records: list[Record]
    """Runs that count, by seed: all collapsed or none."""
    setting: Setting
    """What all its runs were trained with."""
    remark: str = ""
    """In what its setting is not its method's usual one, less what columns show."""
    usual: str = ""
    """What most of its method's rows have, and remarks leave out."""
    varied: str = ""
    """The first thing in which it is not as usual; nothing for a usual row."""
    is_variant: bool = False
    """Whether it isn't as usual in more than its learning rate, which is tuned: an ablation."""
    collapsed: int = 0
    """Runs of the same setting that collapsed and are shown in a row of their own."""
    lora: "Row | None" = None
    """The row it is measured against: of LoRA's usual ones with its seeds and as many training rows
    the best over those seeds."""
    to_lora: Difference | None = None
    to_published: float | None = None
    """Our average minus the published one, in points."""

    @property
    def method(self):
        return self.records[0].method

    @property
    def train_rows(self) -> int | None:
        return self.records[0].data.train_rows

    @property
    def seeds(self) -> list[int]:
        return [record.seed for record in self.records if record.seed is not None]

    def with_seeds_of(self, other: "Row") -> "Row":
        """The same row without the seeds that the other lacks."""
        return replace(self, records=[run for run in self.records if run.seed in other.seeds])

    @property
    def has_collapsed(self) -> bool:
        return self.records[0].status == "collapsed"

    @property
    def label(self) -> str:
        collapsed = f"collapsed, seed {self.seeds[0]}" if self.has_collapsed else ""
        remarks = ", ".join(filter(None, [self.remark, collapsed]))
        return self.method.label + (f" ({remarks})" if remarks else "")

    def cell(self, benchmark: str) -> Cell | None:
        """One benchmark's accuracy; None unless every run has it."""
        return _cell([record.benchmarks.get(benchmark) for record in self.records])

    @property
    def average(self) -> Cell | None:
        """The suite's average; None unless every run has it."""
        return _cell([record.average for record in self.records])

    @property
    def unparsed(self) -> float | None:
        """Answers without an answer word, in percent of all rows evaluated."""
        return self._share("unparsed")

    @property
    def ambiguous(self) -> float | None:
        """Answers with several answer words, in percent; None where they weren't counted."""
        return self._share("ambiguous")

    @property
    def forgotten(self) -> float | None:
        """Nats per token by which the loss on a neutral text rose; None unless every run has it."""
        texts = [record.neutral_text for record in self.records if self.method.trainable]
        rises = [text.forgotten_nats if text else None for text in texts]
        return None if not rises or None in rises else sum(rises) / len(rises)

    def _share(self, key: str) -> float | None:
        parts = [part for record in self.records for part in record.benchmarks.values()]
        counts = [getattr(part, key) for part in parts]
        if not parts or None in counts:
            return None
        return 100 * sum(counts) / sum(part.n for part in parts)


@dataclass(frozen=True)
class Block:
    """Rows of one model, data, protocol and way of evaluating: these may be compared."""

    rows: list[Row]

    @property
    def records(self) -> list[Record]:
        return [record for row in self.rows for record in row.records]

    @property
    def first(self) -> Record:
        """Any record: they agree on all that makes the block."""
        return self.rows[0].records[0]

    @property
    def suite(self) -> str:
        return self.first.data.suite

    @property
    def columns(self) -> dict[str, str]:
        """Key -> heading of the suite's benchmarks."""
        return self.first.data.columns

    @property
    def references(self) -> list[Row]:
        """LoRA rows that others are measured against."""
        used = [row.lora.records for row in self.rows if row.lora]
        return [row for row in self.rows if row.records in used]

    def is_of_published_kind(self, table: PublishedTable) -> bool:
        """Whether it has the paper's protocol, data and scoring, an unquantised base and all test
        rows, as many as are published."""
        record, evaluation = self.first, self.first.evaluation
        return (
            record.protocol.name == PAPER[record.data.suite]
            and record.data.name == table.data
            and evaluation.limit is None
            and evaluation.scoring == "generate"
            and evaluation.quantization is None
            and record.protocol.hash == _hash_now(record.protocol.name)
            and all(
                part.full_n == benchmark(name).test_rows for name, part in record.benchmarks.items()
            )
        )

    @property
    def base_parameters(self) -> int:
        return self.first.method.total - self.first.method.trainable


@cache
def _hash_now(protocol: str) -> str:
    """The hash of a protocol of configs/."""
    config = composed("train", [f"protocol={protocol}"]).protocol
    return Protocol.from_config(OmegaConf.to_container(config, resolve=True)).hash


def trained_under(record: Record) -> dict[str, JsonValue]:
    """What runs must have in common in training for their methods to be compared: the protocol
    but for its decoding, the training file, and whether the base was quantised."""
    config = record.config or {}
    protocol, data = (config.get(group) or {} for group in ("protocol", "data"))
    return {
        "protocol": {key: value for key, value in protocol.items() if key != "decoding"},
        "data": [data.get("name"), data.get("train_file")],
        "quantization": config.get("quantization"),
    }


def same_rows(one: Record, other: Record) -> bool:
    """Whether two runs' training files had the same content, as far as that is known."""
    files = {run.training and run.training.rows_file for run in (one, other)}
    return len(files - {None}) < 2


def trained_otherwise(record: Record) -> list[str]:
    """The names of protocol and data that a run was trained with, if it was evaluated with others
    of another name."""
    config = record.config or {}
    evaluated = {"protocol": record.protocol.name, "data": record.data.name}
    trained = {name: (config.get(name) or {}).get("name") for name in evaluated}
    return [
        f"{group} {name}" for group, name in trained.items() if name not in (None, evaluated[group])
    ]


def of_usual_size(rows: Sequence[Row]) -> list[Row]:
    """Those trained on as many rows as most of them are."""
    counts = Counter(row.train_rows or 0 for row in rows)
    usual = max(counts, key=lambda count: (counts[count], count), default=0)
    return [row for row in rows if (row.train_rows or 0) == usual]


def best(rows: Sequence[Row], alike: Callable[[Row], object]) -> list[Row]:
    """Of rows that are alike the one with the best average among those with most seeds.

    A variant only where there is nothing else: of twenty ablations one looks better by chance.
    """

    def merit(row: Row) -> tuple[bool, int, float]:
        return not row.is_variant, len(row.seeds), row.average.mean if row.average else -1

    chosen = {alike(row): row for row in sorted(rows, key=merit)}
    return [row for row in rows if row is chosen[alike(row)]]


def build_blocks(
    records: Sequence[Record], published: dict[str, PublishedTable] | None = None
) -> list[Block]:
    """Sort records into blocks, largest model first, whole evaluations before limited ones.

    `published` has the printed table of a suite by the suite's name; with it, rows of the paper's
    protocol on the paper's data get their difference to the printed average.
    Raises `UserError` for two records that are the same run, or that can't be compared.
    """
    groups = defaultdict(list)
    for record in records:
        groups[_block_key(record)].append(record)
    blocks = [Block(_rows(group, published or {})) for _, group in sorted(groups.items())]
    return sorted(
        blocks,
        key=lambda b: (b.suite, -b.base_parameters, -(b.first.evaluation.limit or 1e12)),
    )


def _block_key(record: Record) -> tuple[str, ...]:
    protocol, evaluation = record.protocol, record.evaluation
    return (
        record.data.suite,
        record.model.name,
        record.model.label,
        record.data.name,
        record.data.label,
        protocol.name,
        str(protocol.version),
        protocol.hash,
        str(evaluation.limit),
        evaluation.scoring,
        evaluation.quantization or "",
        json.dumps(evaluation.decoding, sort_keys=True),
        " ".join(record.data.columns),
    )


def _rows(records: list[Record], published: dict[str, PublishedTable]) -> list[Row]:
    _same_test_rows(records)
    settings = {}
    for record in records:
        setting = setting_of(record)
        settings.setdefault(json.dumps(setting), (setting, []))[1].append(record)
    rows = []
    for setting, runs in settings.values():
        runs = sorted(runs, key=lambda run: (run.seed is not None, run.seed))
        _one_run_per_seed(runs)
        sound = [run for run in runs if run.status != "collapsed"]
        collapsed = [run for run in runs if run.status == "collapsed"]
        if sound:
            rows.append(Row(sound, setting, collapsed=len(collapsed)))
        rows += [Row([run], setting) for run in collapsed]
    rows = [_with_remark(row, rows) for row in rows]
    rows.sort(key=_row_order)
    best = [_best_lora(row, rows) for row in rows]
    return [
        replace(
            row,
            lora=lora,
            to_lora=_difference(row, lora.with_seeds_of(row)) if lora else None,
            to_published=_to_published(row, published),
        )
        for row, lora in zip(rows, best, strict=True)
    ]


def _row_order(row: Row):
    name = row.method.name
    rank = {"none": 0, "lora": 1, "denselora": 3}.get(name, 2)
    return rank, name, row.method.r or 0, row.train_rows or 0, row.label


def _with_remark(row: Row, rows: list[Row]) -> Row:
    """Say how a row's setting differs from the other rows of its method."""
    own = [other for other in rows if other.method.label == row.method.label]
    settings = [other.setting for other in own]
    keys = [key for key in differing_keys(settings) if key not in SHOWN]
    usual = usual_values(settings, [other.setting for other in rows], keys)
    unusual = [key for key in keys if row.setting.get(key, MISSING) != usual.get(key)]
    if unusual:
        varied = unusual[0].rsplit(".", 1)[-1]
    else:
        trained = [other for other in rows if other.train_rows]
        varied = "" if row in of_usual_size(trained) or not row.train_rows else "training rows"
    return replace(
        row,
        remark=in_words(row.setting, unusual),
        usual=in_words(usual, usual),
        varied=varied,
        is_variant=any(key.rsplit(".", 1)[-1] != "learning_rate" for key in unusual),
    )


def _best_lora(row: Row, rows: list[Row]) -> Row | None:
    """The row that a row is measured against; None for that row itself."""
    if row.has_collapsed or not row.seeds:
        return None
    candidates = [
        other
        for other in rows
        if other.method.name == "lora"
        and other.average
        and not other.has_collapsed
        and set(other.seeds) >= set(row.seeds)
        and other.train_rows == row.train_rows
        and trained_under(other.records[0]) == trained_under(row.records[0])
        and same_rows(other.records[0], row.records[0])
    ]

    def merit(other: Row) -> tuple[bool, float]:
        return not other.is_variant, other.with_seeds_of(row).average.mean

    best = max(candidates, key=merit, default=None)
    return None if best is row else best


def _difference(row: Row, lora: Row) -> Difference | None:
    """Of rows with the same seeds."""
    if row.average is None:
        return None
    difference = row.average.mean - lora.average.mean
    p = welch(*([run.average.accuracy for run in each.records] for each in (row, lora)))
    per_row = {}
    for name in row.records[0].data.columns:
        files = [
            record.beside(record.benchmarks[name].predictions)
            for record in row.records + lora.records
        ]
        if None in files:
            break
        outcomes = aligned_outcomes(files, name).astype(float)
        ours, theirs = outcomes[: len(row.records)], outcomes[len(row.records) :]
        per_row[name] = ours.mean(axis=0) - theirs.mean(axis=0)
    else:
        low, high = paired_bootstrap(per_row)
        return Difference(difference, (100 * low, 100 * high), p)
    return Difference(difference, None, p)


def _to_published(row: Row, published: dict[str, PublishedTable]) -> float | None:
    """Difference to the printed average, where published.yaml says that like meets like."""
    record = row.records[0]
    table = published.get(record.data.suite)
    if (
        table is None
        or row.average is None
        or _is_ablation(record)
        or not Block([row]).is_of_published_kind(table)
        or any(run.status != "complete" for run in row.records)
        or (row.train_rows or 0) < (table.train_rows or 0)
        or any(trained_otherwise(run) for run in row.records)
        or any(run.training is None or round(run.training.epochs) < 2 for run in row.records)
    ):
        return None
    for trust in ("printed", "relayed"):
        for other in table.rows:
            same = (other.model, other.method, other.r, other.trust) == (
                record.model.label,
                row.method.label,
                row.method.r,
                trust,
            )
            if same and other.average is not None and other.data is None:
                return row.average.mean - other.average
    return None


def _is_ablation(record: Record) -> bool:
    """Whether more than the rank of its method is otherwise than configs/adapter has it."""
    options = training_options(record.config or {}) or {}
    own = {name for name in options if name.lstrip("+").startswith("adapter.")}
    return bool(own - {"adapter.r"})


def _cell(parts: list) -> Cell | None:
    if None in parts:
        return None
    mean, std = mean_and_std([100 * part.accuracy for part in parts])
    low, high = parts[0].ci95
    return Cell(mean, std, None if len(parts) > 1 else (100 * low, 100 * high))


def _same_test_rows(records: list[Record]) -> None:
    counts, digests = {}, {}
    for record in records:
        tests = (record.evaluation.made_of or {}).get("tests", {})
        if text := record.neutral_text:
            digest, file = digests.setdefault("", (text.hash, record.file))
            if digest != text.hash:
                raise UserError(
                    f"{file} and {record.file} have the loss of other neutral texts: evaluate both "
                    "with the same neutral_text, or keep one of the records elsewhere"
                )
        for name, part in record.benchmarks.items():
            fix = "evaluate both on the same test file, or keep one of the records elsewhere"
            n, file = counts.setdefault(name, (part.n, record.file))
            if n != part.n:
                raise UserError(f"{file} has {n} rows of {name}, {record.file} has {part.n}: {fix}")
            if name not in tests:
                continue
            digest, file = digests.setdefault(name, (tests[name], record.file))
            if digest != tests[name]:
                raise UserError(
                    f"{file} and {record.file} have other rows or golds of {name}: {fix}"
                )


def _one_run_per_seed(runs: list[Record]) -> None:
    for run, following in pairwise(runs):
        if run.seed == following.seed:
            raise UserError(
                f"{run.file} and {following.file} are the same setting and seed; "
                "keep one of the records elsewhere"
            )
