"""The run record: one JSON per run and seed, from which every table and figure is made."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from denselora.errors import UserError, first_fault
from denselora.files import write_text
from denselora.identity import is_name
from denselora.readers import read_text
from denselora.results.statistics import mean_interval, wilson
from denselora.tasks import SUITES, benchmark

# suite -> benchmark key -> column heading, in the order of the paper's tables
COLUMNS = {
    suite: {benchmark.name: benchmark.label for benchmark in benchmarks}
    for suite, benchmarks in SUITES.items()
}
# suite -> what it had before records said so: LLM-Adapters' benchmarks
FIRST = {
    suite: [one.name for one in benchmarks if one.is_published]
    for suite, benchmarks in SUITES.items()
}

# a record's file, in an evaluation's folder and in a published run's
RECORD = "record.json"

Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

_keys = dataclass(
    frozen=True,
    kw_only=True,
    config=ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False),
)


@_keys
class Model:
    name: str
    """The model config's name: llama3_8b."""
    label: str
    """As tables print it: LLaMA3-8B. Published rows are matched by it."""
    path: str
    """Hub id or folder the weights were read from."""


@_keys
class Method:
    name: str
    """The adapter config's name: denselora, lora, ..., none."""
    label: str
    """As tables print it: DenseLoRA. Published rows are matched by it."""
    r: int | None
    """Rank; null for the plain base and for methods without one."""
    alpha: float | None
    """The update is scaled by alpha / r."""
    target_modules: list[str] | None
    """Names of the adapted modules; null for the plain base."""
    trainable: Count
    """Number of trained parameters, each shared one counted once."""
    total: int = Field(gt=0)
    """Parameters of the base plus `trainable`, or of the base alone where it is trained itself."""
    trainable_percent: float = Field(ge=0, le=100)
    """100 * trainable / total."""

    @model_validator(mode="after")
    def _percent(self):
        expect = 100 * self.trainable / self.total
        _require(abs(self.trainable_percent - expect) < 1e-6, f"trainable_percent is not {expect}")
        return self


@_keys
class Protocol:
    name: str
    """paper, clean, ..."""
    version: str | int
    """Grows when the protocol's meaning changes."""
    hash: str
    """Hash of all that the protocol fixes."""


@_keys
class Data:
    name: str
    """The data config's name: commonsense_170k."""
    label: str
    """As tables print it, with the split where it isn't the public one."""
    suite: str
    """Which benchmarks make up a table row and its average: commonsense, math."""
    benchmarks: list[str] | None = None
    """Those of the suite when the record was made; null in older ones, which had `FIRST`."""
    train_rows: Count | None
    """Rows trained on, validation rows excluded; null for the plain base."""

    @model_validator(mode="after")
    def _known(self):
        _require(self.suite in COLUMNS, f"suite: {self.suite} is not one of {', '.join(COLUMNS)}")
        unknown = [name for name in self.benchmarks or [] if name not in COLUMNS[self.suite]]
        _require(not unknown, f"benchmarks: {unknown} are not in tasks/; add them there")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """Key -> column heading of the benchmarks that make up its row, in the tables' order."""
        own = self.benchmarks or FIRST[self.suite]
        return {name: label for name, label in COLUMNS[self.suite].items() if name in own}


@_keys
class Evaluation:
    limit: int | None = Field(gt=0)
    """Rows per benchmark at most; null for all."""
    scoring: str
    """generate, choice, ..."""
    decoding: dict[str, JsonValue]
    """Every decoding field as given to generate."""
    batch_size: int | None = Field(gt=0)
    """Prompts decoded together; null where batches are sized by tokens."""
    quantization: str | None = None
    """nf4 or int8, of the base that was asked; null: as its precision says."""
    made_of: dict[str, JsonValue] | None = None
    """Digests of base, adapter, adapter_config and each benchmark's rows with golds; null in older
    records."""


@_keys
class Git:
    commit: str | None
    """Hash of the code's commit; null outside a git checkout."""
    dirty: bool | None
    """Whether files outside results/ differed from it or were new."""


@_keys
class Device:
    name: str
    """NVIDIA H200, or CPU (2 threads)."""
    count: int = Field(gt=0)
    """How many took part."""


@_keys
class Origin:
    """Where figures come from."""

    git: Git
    packages: dict[str, str]
    """Package name -> version."""
    device: Device


@_keys
class Training:
    steps: Count
    """Optimizer steps."""
    epochs: float = Field(ge=0)
    """Passes over the training rows."""
    rows: Count
    """Rows trained on, validation rows excluded."""
    tokens: Count
    """Tokens seen, padding excluded."""
    tokens_per_s: float | None
    """tokens / seconds."""
    peak_memory_gib: float | None
    """Highest memory allocated on one device; null where it isn't known."""
    data_percent: float | None = None
    """Share of `seconds` spent on making batches."""
    pass_tokens: Count | None = None
    """Tokens in a forward pass at most, at the end: less than trainer.pass_tokens if memory ran
    out."""
    skipped_steps: Count | None = None
    """Steps left out because loss or gradient was not finite."""
    checkpoint_step: Count | None = None
    """The step that the adapter's weights are of; null for a run that ended without an adapter."""
    seconds: float
    """Wall clock of the training loop."""
    train_loss_nats: float | None
    """Last training loss logged; null when it was not finite."""
    validation_loss_nats: float | None
    """Last validation loss up to `checkpoint_step`; null without validation rows."""
    metrics_file: str | None
    """Loss curve, relative to the record's folder: JSON Lines, Parquet when published."""
    change_file: str | None = None
    """How far each matrix moved (see change.py), relative to the record's folder."""
    collapsed: str | None
    """Why the run counts as collapsed (non-finite loss, ...); null when it doesn't."""
    rows_file: str | None = None
    """Git's blob id of the file that its rows are of; null in older records."""


@_keys
class Benchmark:
    n: int = Field(gt=0)
    """Rows evaluated."""
    full_n: Count
    """Rows of the whole test set."""
    correct: Count
    """Rows answered right."""
    unparsed: Count
    """Rows without any answer word; they count as wrong."""
    ambiguous: Count | None = None
    """Rows with two or more different answer words, of which the first counts; null where it wasn't
    counted."""
    accuracy: Fraction
    """correct / n."""
    ci95: tuple[Fraction, Fraction]
    """Wilson interval of `accuracy`."""
    chance: Fraction
    """Accuracy of guessing."""
    predictions: str | None
    """File of its predictions, relative to the record's folder: its own as JSON Lines, Parquet of
    all benchmarks when published; null when they were not kept."""
    seconds: float
    """Wall clock of its evaluation."""
    rows_hash: str | None = None
    """Of its predictions, whatever kind of file holds them; null in older records."""

    @classmethod
    def counted(cls, *, n: int, correct: int, **rest) -> "Benchmark":
        """The result of counting `correct` among `n` rows; `rest` are the other keys."""
        return cls(n=n, correct=correct, accuracy=correct / n, ci95=wilson(correct, n), **rest)

    @model_validator(mode="after")
    def _counts(self):
        _require(self.n <= self.full_n, "n is more than full_n")
        _require(self.correct + self.unparsed <= self.n, "correct and unparsed are more than n")
        _require(abs(self.accuracy - self.correct / self.n) < 1e-9, "accuracy is not correct / n")
        bounds = zip(self.ci95, wilson(self.correct, self.n), strict=True)
        _require(all(abs(a - b) < 1e-6 for a, b in bounds), "ci95 is not that of correct and n")
        return self


@_keys
class NeutralText:
    """What was forgotten: `loss_nats - base_loss_nats`."""

    file: str
    """Name of the text's file."""
    hash: str
    """Of the documents that were read."""
    tokens: Count
    """How many were predicted."""
    base_loss_nats: float | None
    """The plain base's mean loss per token; null if it wasn't finite."""
    loss_nats: float | None
    """The same of the model that was evaluated."""

    @property
    def forgotten_nats(self) -> float | None:
        if self.loss_nats is None or self.base_loss_nats is None:
            return None
        return self.loss_nats - self.base_loss_nats


@_keys
class Average:
    accuracy: Fraction
    """Unweighted mean of the suite's accuracies."""
    ci95: tuple[Fraction, Fraction]
    """Its interval, from the benchmarks' intervals."""

    @classmethod
    def of(cls, benchmarks: Mapping[str, Benchmark], data: Data) -> "Average | None":
        """The average of the data's suite, or None while a benchmark of it is missing."""
        if not benchmarks.keys() >= data.columns.keys():
            return None
        parts = [benchmarks[key] for key in data.columns]
        accuracies = [part.accuracy for part in parts]
        return cls(
            accuracy=sum(accuracies) / len(accuracies),
            ci95=mean_interval(accuracies, [part.ci95 for part in parts]),
        )


@_keys
class Record:
    schema: Literal[1]
    """Version of these keys."""
    run_id: str = Field(min_length=1)
    """Names the run; from its resolved config, so one config has one id."""
    created: AwareDatetime
    """When the evaluation ended, UTC."""
    status: Literal["complete", "partial", "collapsed"]
    """partial: with a limit, or not all of the suite's benchmarks."""
    model: Model
    method: Method
    protocol: Protocol
    data: Data
    seed: int | None
    """The option `seed`; null for the plain base. The adapter's start and the order of rows follow
    it unless `config` has others."""
    config: dict[str, JsonValue] | None
    """Resolved training config; null for the plain base."""
    evaluation: Evaluation
    git: Git
    packages: dict[str, str]
    """Package name -> version."""
    device: Device
    """As git and packages the evaluation's; the training's are in `trained_on`."""
    trained_on: Origin | None = None
    """null for the plain base, and in older records."""
    training: Training | None
    """null for the plain base."""
    benchmarks: dict[str, Benchmark]
    """Benchmark key -> result."""
    average: Average | None
    """null when a benchmark of the suite is missing."""
    neutral_text: NeutralText | None = None
    """Loss on a text that has nothing to do with the task; null where none was given, and in older
    records."""
    file: Annotated[Path | None, Field(exclude=True)] = None
    """Where the record was read from; not written."""

    @model_validator(mode="after")
    def _whole(self):
        parts = {"model": self.model, "method": self.method, "data": self.data}
        names = {f"{key}.name": part.name for key, part in parts.items()}
        names |= {"protocol.name": self.protocol.name, "run_id": self.run_id}
        names |= {"evaluation.scoring": self.evaluation.scoring}
        if self.evaluation.quantization is not None:
            names["evaluation.quantization"] = self.evaluation.quantization
        for key, name in names.items():
            _require(
                is_name(name), f"{key}: {name!r} becomes part of a path; no separators or '..'"
            )
        unknown = sorted(self.benchmarks.keys() - self.data.columns.keys())
        _require(not unknown, f"benchmarks: {unknown} are not in the {self.data.suite} suite")
        tests = (self.evaluation.made_of or {}).get("tests", {})
        _require(isinstance(tests, dict), "evaluation.made_of: tests are no digests by benchmark")
        for group in ("model", "adapter", "data", "protocol"):
            of = (self.config or {}).get(group, {})
            is_named = isinstance(of, dict) and isinstance(of.get("name", ""), str)
            _require(is_named, f"config.{group}: is no config with a name")
        average = Average.of(self.benchmarks, self.data)
        _require((average is None) == (self.average is None), "average: only for a whole suite")
        if average:
            off = abs(average.accuracy - self.average.accuracy)
            _require(off < 1e-9, "average: accuracy is not the mean of the benchmarks' accuracies")
            bounds = zip(average.ci95, self.average.ci95, strict=True)
            _require(
                all(abs(a - b) < 1e-6 for a, b in bounds),
                "average: ci95 is not that of the benchmarks' intervals",
            )
        collapsed = bool(self.training and self.training.collapsed)
        _require(
            collapsed == (self.status == "collapsed"),
            "status: collapsed exactly when training.collapsed says why",
        )
        whole = average and all(part.n == part.full_n for part in self.benchmarks.values())
        _require(
            whole or self.status != "complete",
            "status: complete only when all rows of all the suite's benchmarks were evaluated",
        )
        return self

    @property
    def origin(self) -> Origin:
        """Of the training's figures; of older records, of the evaluation's."""
        return self.trained_on or Origin(git=self.git, packages=self.packages, device=self.device)

    @property
    def chance(self) -> float:
        """The share that guessing gives in the mean over its benchmarks; those of its suite where
        none is done."""
        done = [part.chance for part in self.benchmarks.values()]
        shares = done or [benchmark(name).chance for name in self.data.columns]
        return sum(shares) / len(shares)

    def beside(self, name: str | None) -> Path | None:
        """A file the record names, if it is there.

        Only files below the record's own folder: tables must come out the same from results/
        alone.
        """
        if name is None or self.file is None:
            return None
        folder = self.file.parent.resolve()
        path = (folder / name).resolve()
        return self.file.parent / name if path.is_relative_to(folder) and path.is_file() else None


_record = TypeAdapter(Record)
Part = TypeVar("Part", Model, Method, Data, Evaluation)


def read_record(path: str | Path) -> Record:
    """Read and check one record.

    Raises `UserError`, naming the file and the key, for a file that isn't a valid record.
    """
    path, fix = Path(path), "restore it, or evaluate again"
    try:
        record = _record.validate_json(read_text(path, fix), strict=True)
    except ValidationError as error:
        raise UserError(f"{path}: {first_fault(error)}; {fix}") from error
    return dataclasses.replace(record, file=path)


# what a results folder may have without runs, where none has ended well
MADE = {"tables", "figures", "README.md", "report.html", "grids.csv"}


def read_records(folder: str | Path) -> list[Record]:
    """All records of a results folder, `runs/<run id>/record.json`, by run id.

    Raises `UserError` if there is no such folder, if it holds other things but no runs/, or as
    `read_record` does, or for a run in a folder of another name.
    """
    if not Path(folder).is_dir():
        raise UserError(f"results_dir={folder}: no such folder; give one with runs/ in it")
    there = {path.name for path in Path(folder).iterdir()}
    if "runs" not in there and not there <= MADE:
        raise UserError(
            f"results_dir={folder}: no runs/ in it; give the results_dir of reproduce.py"
        )
    # what begins with a dot is being published just now
    records = [read_record(path) for path in sorted(Path(folder).glob(f"runs/[!.]*/{RECORD}"))]
    for record in records:
        if record.file.parent.name != record.run_id:
            raise UserError(
                f"{record.file}: is {record.run_id}'s; a run's folder has its run id for a name, "
                "rename it, or keep one of the two elsewhere"
            )
    return records


def write_record(record: Record, path: str | Path) -> None:
    """Write a record so that `path` holds either all of it or what it held before."""
    write_text(Path(path), _open_two_deep(json.loads(_record.dump_json(record))))


def _open_two_deep(content: dict[str, Any]) -> str:
    """JSON with a line for each key, and within it for each of its keys: a benchmark is a line."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    lines = []
    for key, value in content.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(f"    {text(name)}: {text(part)}" for name, part in value.items())
            lines.append(f"  {text(key)}: {{\n{inner}\n  }}")
        else:
            lines.append(f"  {text(key)}: {text(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def part(kind: type[Part], option: str, **values: Any) -> Part:
    """A part of a record. Raises UserError, naming the option, for a value that can't be in it."""
    try:
        return kind(**values)
    except ValidationError as error:
        raise UserError(f"{option}.{first_fault(error)}; change it") from None


def model_part(config: dict[str, Any]) -> Model:
    """The model of a resolved config. Raises as `part` does."""
    return part(Model, "model", **{key: config["model"][key] for key in ("name", "label", "path")})


def data_part(config: dict[str, Any], **more: Any) -> Data:
    """The data of a resolved config. more: its `benchmarks` and `train_rows`, as far as they are
    known. Raises as `part` does.
    """
    named = {key: config["data"][key] for key in ("name", "label", "suite")}
    return part(Data, "data", **{"train_rows": None, **named, **more})


def _require(holds: object, fault: str) -> None:
    if not holds:
        raise ValueError(fault)
