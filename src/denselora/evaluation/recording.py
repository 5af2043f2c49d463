"""The record of an evaluation, from its folder and what is known of its training."""

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerate import PartialState
from peft import PeftConfig
from torch import nn

from denselora import provenance
from denselora.errors import UserError
from denselora.evaluation.benchmark_rows import BenchmarkRows
from denselora.evaluation.evaluation_folder import EvaluationFolder
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import Scoring
from denselora.evaluation.subjects import Subject
from denselora.files import check_writable
from denselora.methods import describe
from denselora.results.change import read_change
from denselora.results.metrics import read_losses
from denselora.results.predictions import count, rows_hash
from denselora.results.publish import publish_record
from denselora.results.record import (
    Average,
    Benchmark,
    Data,
    Device,
    Evaluation,
    Git,
    Method,
    NeutralText,
    Origin,
    Protocol,
    Record,
    Training,
    data_part,
    model_part,
    write_record,
)
from denselora.tasks import benchmarks
from denselora.training.card import add_results
from denselora.training.run_folder import RunFolder

DIGITS = 12


def record_evaluation(
    config: dict[str, Any],
    subject: Subject,
    method: Method,
    kind: type[Scoring],
    respondent: Respondent,
    tests: Sequence[BenchmarkRows],
    neutral_text: NeutralText | None = None,
) -> Record | None:
    """Count the predictions of the finished benchmarks, publish the record if `record_dir` is
    given, write it, and put its numbers into the adapter's card; None without any."""
    training, trained = _training(subject), subject.trained
    data, earlier = _data(config, training), subject.folder.record()
    results = _results(subject, tests, earlier, data)
    if not results:
        return None
    decoding = kind.decoding(respondent)
    record = Record(
        schema=1,
        run_id=subject.run,
        created=datetime.now(UTC).replace(microsecond=0),
        status=_status(config, training, data, results),
        model=model_part(config),
        method=method,
        protocol=Protocol(**respondent.protocol.identity),
        data=data,
        seed=trained.config["seed"] if trained else None,
        config=trained.config if trained else None,
        evaluation=Evaluation(
            limit=config["limit"],
            scoring=kind.name,
            quantization=config["quantization"],
            decoding=decoding.to_diff_dict() if decoding else {},
            batch_size=None,
            made_of=_made_of(subject.folder, results),
        ),
        git=Git(**provenance.git_state()),
        packages=provenance.packages(),
        device=Device(**provenance.device(PartialState().num_processes)),
        trained_on=Origin(git=trained.git, packages=trained.packages, device=trained.device)
        if trained
        else None,
        training=training,
        benchmarks=results,
        average=Average.of(results, data),
        neutral_text=neutral_text or (earlier.neutral_text if earlier else None),
    )
    file = subject.folder.record_file
    # the record last: what has one is done, published included
    if config["record_dir"]:
        publish_record(replace(record, file=file), config["record_dir"])
    write_record(record, file)
    if trained:
        add_results(subject.adapter, trained, record)
    return record


def check_recordable(config: dict[str, Any]) -> None:
    """Raise UserError for options that no record could hold, before anything is read."""
    model_part(config)
    if config["record_dir"]:
        check_writable(Path(config["record_dir"]), "record_dir")
    data = _data(config, None)
    folder = Path(config["data"]["path"])
    for one in benchmarks(config["tasks"], data.suite, folder):
        if one.name not in data.columns:
            raise UserError(
                f"tasks: {one.name} is not in the suite data.suite={data.suite} "
                f"({', '.join(data.columns)}); leave it out or choose another data"
            )


def check_training_files(subject: Subject) -> None:
    """Raise UserError, before anything is answered, for files of the training that can't be put
    among the results."""
    if subject.trained:
        run = RunFolder(subject.adapter.absolute().parent)
        if run.metrics_file.exists():
            read_losses(run.metrics_file)
        if run.change_file.exists():
            read_change(run.change_file)


def method_of(subject: Subject, model: nn.Module) -> Method:
    """The method that made the model: as its training has it, or as far as the model shows."""
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
        parameter.requires_grad_(_is_trained(name, model.base_model.prefix, config))
    described = describe(model, label)
    model.requires_grad_(False)
    return Method(**described)


def _is_trained(name: str, prefix: str, config: PeftConfig) -> bool:
    """Whether training an adapter trains a parameter of the model. prefix: of the method's own."""
    if any(part in name for part in (prefix, ".modules_to_save.", "trainable_tokens_delta")):
        return True
    bias = getattr(config, "bias", "none")
    return name.endswith(".bias") and (
        bias == "all" or (bias.endswith("_only") and ".base_layer." in name)
    )


def _results(
    subject: Subject, tests: Sequence[BenchmarkRows], earlier: Record | None, data: Data
) -> dict[str, Benchmark]:
    """The figures of each benchmark that is finished, those of earlier calls too, in the tables'
    order."""
    folder, seconds = subject.folder, subject.folder.seconds()
    results = dict(earlier.benchmarks) if earlier else {}
    for test in tests:
        name = test.benchmark.name
        predictions = folder.predictions(name)
        if predictions is not None:
            results[name] = Benchmark.counted(
                full_n=test.full_n,
                chance=test.benchmark.chance,
                predictions=folder.partial(name).whole.name,
                seconds=seconds.get(name, 0.0),
                rows_hash=rows_hash(predictions),
                **count(predictions),
            )
    return {name: results[name] for name in data.columns if name in results}


def _made_of(folder: EvaluationFolder, results: Collection[str]) -> dict[str, Any]:
    """Digests of all that an evaluation was made of, short enough for a record."""
    identity, hashes = folder.identity, folder.tests()
    base = hashlib.sha256(json.dumps(identity["base"], sort_keys=True).encode()).hexdigest()
    digests = {"base": base, **{key: identity[key] for key in ("adapter", "adapter_config")}}
    short = {key: digest and digest[:DIGITS] for key, digest in digests.items()}
    return short | {"tests": {name: h[:DIGITS] for name, h in hashes.items() if name in results}}


def _training(subject: Subject) -> Training | None:
    """The training's figures, with its files as seen from the record."""
    if subject.trained is None:
        return None
    run = RunFolder(subject.adapter.absolute().parent)
    files = {"metrics_file": run.metrics_file, "change_file": run.change_file}
    seen = {
        key: os.path.relpath(file, subject.folder.path) if file.is_file() else None
        for key, file in files.items()
    }
    return replace(subject.trained.training, **seen)


def _data(config: dict[str, Any], training: Training | None) -> Data:
    data_part(config)  # the suite is one of those that there are
    suite = benchmarks("all", config["data"]["suite"], Path(config["data"]["path"]))
    return data_part(
        config,
        benchmarks=[one.name for one in suite],
        train_rows=training.rows if training else None,
    )


def _status(
    config: dict[str, Any], training: Training | None, data: Data, results: dict[str, Benchmark]
) -> str:
    if training and training.collapsed:
        return "collapsed"
    whole = config["limit"] is None and results.keys() == data.columns.keys()
    return "complete" if whole else "partial"
