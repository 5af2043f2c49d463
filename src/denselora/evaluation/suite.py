"""Evaluating models on a suite of benchmarks, from config to run records."""

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from denselora import provenance
from denselora.data.order import shuffled
from denselora.data.rows import read_rows
from denselora.errors import UserError, first_line
from denselora.evaluation.adapter import (
    adapted,
    check_effect,
    prompt_logits,
    read_adapter,
    weights_hash,
)
from denselora.evaluation.judge import count
from denselora.evaluation.prepacked import Prepacked
from denselora.evaluation.recount import IDENTITY
from denselora.evaluation.score import finish, score, share
from denselora.evaluation.scoring import Scoring
from denselora.evaluation.second_opinion import check_installed
from denselora.files import check_writable, write_json
from denselora.methods import describe
from denselora.models import (
    fingerprint,
    load_base,
    load_tokenizer,
    precision,
    same_base,
)
from denselora.protocol import Protocol
from denselora.results.predictions import read_predictions
from denselora.results.publish import publish_record
from denselora.results.record import (
    RECORD,
    Average,
    Benchmark,
    Data,
    Device,
    Evaluation,
    Git,
    Method,
    Model,
    Record,
    Training,
    read_record,
    write_record,
)
from denselora.results.record import Protocol as ProtocolName
from denselora.tasks import Benchmark as Task
from denselora.tasks import benchmark, benchmarks
from denselora.training.folder import RunFolder
from denselora.training.trained import Trained

SECONDS = "seconds.json"
SCORINGS = ("generate", "choice", "lm-eval")
GROUPS = ("model", "data", "protocol")


@dataclass(frozen=True)
class Subject:
    """One model to score: an adapter folder or, without one, the plain base."""

    adapter: Path | None
    trained: Trained | None
    run: str
    folder: Path
    identity: dict[str, Any]


def evaluate(cfg: DictConfig, overrides: Sequence[str]) -> tuple[list[Record], list[str]]:
    """Score adapter folders, or the plain base, and write the predictions and the records.

    overrides: the command line's, to tell a choice from a default: model, data and protocol are
    those of the adapters' training unless named.

    Returns the records (on the main process; none on the others) and a line for each adapter or
    benchmark that failed, which doesn't stop the others.
    Raises UserError for a mistake in options or data, before anything is written.
    """
    # 1. Which adapters, base, data and protocol; the code that runs is noted at the start.
    provenance.git_state()
    adapters = adapter_folders(cfg)
    trainings = [read_adapter(folder) if folder else None for folder in adapters]
    config = follow(cfg, adapters, trainings, overrides)
    protocol = Protocol.from_config(config["protocol"])
    if config["limit"] is not None and config["limit"] < 1:
        raise UserError(f"limit={config['limit']}: give a number above 0, or null for all rows")
    if config["batch_tokens"] < 1:
        raise UserError(f"batch_tokens={config['batch_tokens']}: give a number above 0")
    if config["scoring"] not in SCORINGS:
        raise UserError(f"scoring={config['scoring']}: use one of {', '.join(SCORINGS)}")
    if config["scoring"] == "lm-eval":
        check_installed()

    # 2. The rows of every benchmark, read before the model is.
    whole, rows = read_benchmarks(config)

    # 3. The folders: new, or of the same evaluations that were stopped.
    subjects = _subjects(config, adapters, trainings)

    # 4. One base for all.
    process = PartialState(cpu=not torch.cuda.is_available())
    tokenizer = load_tokenizer(config["model"]["path"])
    base = load_base(config["model"]["path"], precision(process.device), process.device).eval()
    first = protocol.evaluation_prompt(next(iter(rows.values()))[0])
    base.requires_grad_(False)  # what trains is counted
    for subject in subjects:
        _check_base(subject, fingerprint(base))
    plain = prompt_logits(base, tokenizer, first)

    # 5. Each subject on each benchmark.
    records, failures = [], []
    total = len(subjects) * sum(_share_of(test) for test in rows.values())
    with tqdm(total=total, unit="row", desc="all", disable=not process.is_main_process) as bar:
        for subject in subjects:
            path = config["model"]["path"]
            try:
                with (
                    adapted(base, subject.adapter, subject.trained, path)
                    if subject.adapter
                    else nullcontext(base)
                ) as model:
                    if subject.adapter:
                        logits = prompt_logits(model, tokenizer, first)
                        check_effect(logits, plain, subject.adapter)
                    scoring = Scoring(config["scoring"], model, tokenizer, protocol)
                    with Prepacked(model) if scoring.kind == "choice" else nullcontext():
                        failed = _answer(subject, rows, scoring, config["batch_tokens"], bar)
                    method = _method(subject, model)
            except UserError as error:
                failures.append(str(error))
                continue
            failures += failed
            if process.is_main_process:
                record = _record(config, subject, method, rows, whole, scoring)
                if record:
                    records.append(record)
    process.wait_for_everyone()
    return records, failures


def adapter_folders(cfg: DictConfig) -> list[Path | None]:
    """The folders of `adapter_path`, one or a list; [None] is the plain base."""
    if cfg.adapter.name != "none":
        raise UserError(
            f"adapter={cfg.adapter.name}: evaluation takes trained adapters by adapter_path=; "
            "adapter=none is the plain base"
        )
    if not cfg.adapter_path:
        return [None]
    paths = [cfg.adapter_path] if isinstance(cfg.adapter_path, str) else cfg.adapter_path
    return [Path(path) for path in paths]


def follow(
    cfg: DictConfig,
    adapters: Sequence[Path | None],
    trainings: Sequence[Trained | None],
    overrides: Sequence[str],
) -> dict[str, Any]:
    """The resolved config, with model, data and protocol of the training where the command line is
    silent.

    Raises UserError when the adapters' trainings differ in what isn't named.
    """
    cfg = cfg.copy()
    configs = {
        folder: trained.config
        for folder, trained in zip(adapters, trainings, strict=True)
        if trained
    }
    for group in filter(cfg.__contains__, GROUPS):
        if any(override.lstrip("+").split("=")[0] == group for override in overrides):
            continue
        inside = [o.lstrip("+") for o in overrides if o.lstrip("+").startswith(f"{group}.")]
        named = OmegaConf.from_dotlist(inside).get(group) or {}
        if configs:
            (one, config), *others = configs.items()
            for other, another in others:
                if another[group] != config[group]:
                    raise UserError(
                        f"adapter_path: {one} and {other} were trained with another {group}; name "
                        f"one by {group}=, or evaluate them apart"
                    )
            cfg[group] = OmegaConf.merge(config[group], named)
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


def read_benchmarks(config: dict[str, Any]) -> tuple[dict[str, Dataset], dict[str, Dataset]]:
    """All test rows by benchmark, and those of them that `limit` leaves."""
    root = Path(config["data"]["path"])
    if not root.is_dir():
        raise UserError(
            f"data.path={root}: no such folder; give one with <benchmark>/test.json, or run "
            "`make data`"
        )
    chosen = benchmarks(config["tasks"], config["data"]["suite"], root)
    whole = {each.name: _read_test(each.test_file(root), each) for each in chosen}
    return whole, {name: _limited(test, config["limit"]) for name, test in whole.items()}


def _suite(config: dict[str, Any]) -> list[str]:
    """Names of the benchmarks that the data's suite has."""
    data = config["data"]
    return [one.name for one in benchmarks("all", data["suite"], Path(data["path"]))]


def _read_test(file: Path, task: Task) -> Dataset:
    rows = read_rows(file, scored=True)
    for number, gold in enumerate(rows["answer"], start=1):
        if not task.can_be_gold(gold):
            known = ", ".join(task.answers) or "a number"
            raise UserError(
                f"{file}: row {number}, field 'answer' is {gold!r}, expected {known}; mend it"
            )
    return rows


def _limited(rows: Dataset, limit: int | None) -> Dataset:
    """The first `limit` rows of a fixed shuffle: test files can be sorted by topic."""
    if limit is None or limit >= len(rows):
        return rows
    return rows.select(sorted(shuffled(len(rows), 0, "limit")[:limit]))


def _subjects(
    config: dict[str, Any],
    adapters: Sequence[Path | None],
    trainings: Sequence[Trained | None],
) -> list[Subject]:
    subjects = []
    for adapter, trained in zip(adapters, trainings, strict=True):
        run = trained.run_id if trained else _name(config, adapter)
        if config["scoring"] != "generate":
            run += f"-{config['scoring']}"
        if config["limit"]:
            run += f"-limit{config['limit']}"
        folder = Path(config["output_dir"] or Path("evaluations") / run)
        if config["output_dir"] and len(adapters) > 1:
            folder /= run
        identity = {
            "adapter": weights_hash(adapter) if adapter else None,
            "model": config["model"]["path"],
            "protocol": config["protocol"],
            "scoring": config["scoring"],
            "data": config["data"],
            "limit": config["limit"],
        }
        check_writable(folder, "output_dir")
        _check_folder(folder, identity)
        subjects.append(Subject(adapter, trained, run, folder, identity))
    names = [subject.run for subject in subjects]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"adapter_path: two of the adapters are named {name}; rename a folder")
    return subjects


def _name(config: dict[str, Any], adapter: Path | None) -> str:
    """The run id of something that this project didn't train."""
    what = adapter.resolve().name if adapter else "base"
    return "-".join(
        [config["model"]["name"], what, config["data"]["name"], config["protocol"]["name"]]
    )


def _check_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but this same evaluation."""
    if not folder.exists() or not any(f for f in folder.iterdir() if f.name[0] != "."):
        return
    file = folder / IDENTITY
    if not file.is_file():
        raise UserError(f"output_dir={folder}: not empty and not an evaluation; choose another")
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        raise UserError(f"{file}: malformed; delete the folder or choose another") from None
    changed = [key for key in identity if before.get(key) != identity[key]]
    if changed:
        raise UserError(
            f"output_dir={folder}: holds another evaluation (differs in {', '.join(changed)}); "
            "choose another folder"
        )


def _check_base(subject: Subject, base: dict[str, Any]) -> None:
    """Refuse a folder whose predictions another base made, though its path was the same."""
    file = subject.folder / IDENTITY
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8")).get("base")
        if not before or not same_base(before, base):
            raise UserError(
                f"output_dir={subject.folder}: holds another evaluation (the weights at "
                f"model.path={subject.identity['model']} have changed since); choose another folder"
            )
    subject.identity["base"] = base


def _answer(
    subject: Subject, rows: dict[str, Dataset], scoring: Scoring, batch_tokens: int, bar: tqdm
) -> list[str]:
    """All benchmarks of one subject; returns a line for each that failed in any process."""
    process = PartialState()
    if process.is_main_process:
        write_json(subject.folder / IDENTITY, subject.identity)
    process.wait_for_everyone()
    failures = []
    for name, test in rows.items():
        failure = None
        with tqdm(
            total=_share_of(test),
            unit="row",
            desc=name,
            leave=False,
            disable=not process.is_main_process,
        ) as own:

            def advance(done: int, own: tqdm = own) -> None:
                own.update(done)
                bar.update(done)

            try:
                score(benchmark(name), test, scoring, subject.folder, batch_tokens, advance)
            except Exception as error:  # whatever it is, the other benchmarks are worth having
                failure = _failure(subject, name, error)
        failed = [each for each in gather_object([failure]) if each]
        if not failed and process.is_main_process:
            try:
                _keep_seconds(subject.folder, name, finish(benchmark(name), test, subject.folder))
            except (UserError, OSError) as error:
                failed = [_failure(subject, name, error)]
        failures += failed[:1]
    return failures


def _share_of(rows: Dataset) -> int:
    """How many of the rows this process answers."""
    return len(share(range(len(rows)), PartialState()))


def _failure(subject: Subject, name: str, error: Exception) -> str:
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"{subject.run}, {name} failed: {kind}{first_line(error)}"


def _keep_seconds(folder: Path, name: str, seconds: float | None) -> None:
    """Note how long a benchmark took: no part of its predictions, which are always the same."""
    if seconds is not None:
        write_json(folder / SECONDS, read_seconds(folder) | {name: round(seconds, 2)})
    for file in folder.glob(f"{name}.partial-*.jsonl"):
        file.unlink()


def read_seconds(folder: Path) -> dict[str, float]:
    """Seconds of each benchmark that is finished."""
    file = folder / SECONDS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _training(subject: Subject) -> Training | None:
    """The training's figures, with its files as seen from the record."""
    if subject.trained is None:
        return None
    run = RunFolder(subject.adapter.absolute().parent)
    files = {"metrics_file": run.metrics_file, "change_file": run.change_file}
    seen = {
        key: os.path.relpath(file, subject.folder) if file.is_file() else None
        for key, file in files.items()
    }
    return replace(subject.trained.training, **seen)


def _method(subject: Subject, model) -> Method:
    if subject.trained:
        return subject.trained.method
    if subject.adapter is None:
        return Method(**describe(model, {"name": "none", "label": "base"}))
    if not hasattr(model, "peft_config"):
        return Method(**describe(model, {"name": "full", "label": "full"}))
    config = model.peft_config["default"]
    kind = config.peft_type.value
    label = {"name": kind.lower(), "label": str(kind), "r": getattr(config, "r", None)}
    # loaded adapters are frozen; count what training them means
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(model.base_model.prefix in name)
    described = describe(model, label)
    model.requires_grad_(False)
    return Method(**described)


def _record(
    config: dict[str, Any],
    subject: Subject,
    method: Method,
    rows: dict[str, Dataset],
    whole: dict[str, Dataset],
    scoring: Scoring,
) -> Record | None:
    """Count the predictions of the finished benchmarks and write the record; None without any."""
    training = _training(subject)
    data = Data(
        name=config["data"]["name"],
        label=config["data"]["label"],
        suite=config["data"]["suite"],
        benchmarks=_suite(config),
        train_rows=training.rows if training else None,
    )
    seconds = read_seconds(subject.folder)
    results = {
        name: Benchmark.counted(
            full_n=len(whole[name]),
            chance=benchmark(name).chance,
            predictions=f"{name}.jsonl",
            seconds=seconds.get(name, 0.0),
            **count(read_predictions(subject.folder / f"{name}.jsonl", name)),
        )
        for name in rows
        if (subject.folder / f"{name}.jsonl").is_file()
    }
    if not results:
        return None
    if training and training.collapsed:
        status = "collapsed"
    elif config["limit"] is None and results.keys() == data.columns.keys():
        status = "complete"
    else:
        status = "partial"
    record = Record(
        schema=1,
        run_id=subject.run,
        created=datetime.now(UTC).replace(microsecond=0),
        status=status,
        model=Model(**{key: config["model"][key] for key in ("name", "label", "path")}),
        method=method,
        protocol=ProtocolName(**scoring.protocol.identity),
        data=data,
        seed=subject.trained.config["seed"] if subject.trained else None,
        config=subject.trained.config if subject.trained else None,
        evaluation=Evaluation(
            limit=config["limit"],
            scoring=config["scoring"],
            decoding=scoring.decoding.to_diff_dict() if scoring.decoding else {},
            batch_size=None,
        ),
        git=Git(**provenance.git_state()),
        packages=provenance.packages(),
        device=Device(**provenance.device(PartialState().num_processes)),
        training=training,
        benchmarks=results,
        average=Average.of(results, data),
    )
    write_record(record, subject.folder / RECORD)
    if config["record_dir"]:
        publish_record(read_record(subject.folder / RECORD), config["record_dir"])
    return record
