"""Evaluating one model on a suite of benchmarks, from config to run record."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from denselora import provenance
from denselora.data.order import shuffled
from denselora.data.rows import read_rows
from denselora.errors import UserError
from denselora.evaluation.adapter import check_effect, load_adapter, read_training, weights_hash
from denselora.evaluation.generate import generate, generation_config
from denselora.evaluation.score import score
from denselora.folders import check_writable, write_json
from denselora.methods import describe
from denselora.models import load_base, load_tokenizer, precision
from denselora.protocol import Protocol
from denselora.results.record import (
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
    write_record,
)
from denselora.results.record import Protocol as ProtocolName
from denselora.tasks import SUITES, benchmark, benchmarks

IDENTITY = "evaluation.json"
RECORD = "record.json"
GROUPS = ("model", "data", "protocol")


def evaluate(cfg: DictConfig, overrides: list[str]) -> Record:
    """Score an adapter folder, or the plain base, and write the predictions and the record.

    overrides: the command line's, to tell a choice from a default: model, data and protocol are
    those of the adapter's training unless named.

    Raises UserError for a mistake in options or data, before anything is written.
    """
    # 1. Which adapter, base, data and protocol.
    if cfg.adapter != "none":
        raise UserError(
            f"adapter={cfg.adapter}: evaluation takes a trained adapter by adapter_path=FOLDER; "
            "adapter=none is the plain base"
        )
    adapter_path = Path(cfg.adapter_path) if cfg.adapter_path else None
    training = read_training(adapter_path) if adapter_path else None
    if training:
        cfg = _follow(cfg, training["config"], overrides)
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    protocol = Protocol.from_config(config["protocol"])
    if config["limit"] is not None and config["limit"] < 1:
        raise UserError(f"limit={config['limit']}: give a number above 0, or null for all rows")
    if config["batch_size"] < 1:
        raise UserError(f"batch_size={config['batch_size']}: give a number above 0")

    # 2. The rows of every benchmark, read before the model is.
    chosen = benchmarks(config["tasks"], config["data"]["suite"])
    root = Path(config["data"]["path"])
    if not root.is_dir():
        raise UserError(
            f"data.path={root}: no such folder; give one with <benchmark>/test.json, or run "
            "`make data`"
        )
    whole = {each.name: read_rows(root / each.name / "test.json") for each in chosen}
    rows = {name: _limited(test, config["limit"]) for name, test in whole.items()}

    # 3. The folder: new, or one of the same evaluation that was stopped.
    identity = {
        "adapter": weights_hash(adapter_path) if adapter_path else None,
        "model": config["model"]["path"],
        "protocol": protocol.identity,
        "data": config["data"],
        "limit": config["limit"],
    }
    run = training["run_id"] if training else _name(config, adapter_path)
    if config["limit"]:
        run += f"-limit{config['limit']}"
    folder = Path(config["output_dir"] or Path("evaluations") / run)
    check_writable(folder, "output_dir")
    _check_folder(folder, identity)

    # 4. The model.
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(config["model"]["path"])
    model = load_base(config["model"]["path"], precision(device), device).eval()
    if adapter_path:
        model = load_adapter(model, adapter_path, training, config["model"]["path"])
        first = protocol.evaluation_prompt(rows[chosen[0].name][0])
        check_effect(model, tokenizer, first, adapter_path)
    method = training["method"] if training else describe(model, _label(model, adapter_path))
    decoding = generation_config(protocol.decoding, tokenizer)

    # 5. Decode, judge, count.
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / IDENTITY, identity)
    counts: dict[str, dict[str, Any]] = {}
    with tqdm(total=sum(map(len, rows.values())), unit="row", desc="evaluating") as bar:
        for each in chosen:
            bar.set_postfix_str(each.name)
            counts[each.name] = score(
                each,
                rows[each.name],
                protocol,
                lambda prompts: generate(model, tokenizer, prompts, decoding),
                folder,
                config["batch_size"],
                bar.update,
            )

    # 6. The record.
    record = _record(config, training, method, run, whole, counts, decoding)
    write_record(record, folder / RECORD)
    if config["record_dir"]:
        _publish(record, folder, Path(config["record_dir"]))
    return record


def _record(config, training, method, run, whole, counts, decoding) -> Record:
    suite = config["data"]["suite"]
    results = {
        name: Benchmark.counted(
            full_n=len(whole[name]),
            chance=benchmark(name).chance,
            predictions=f"{name}.jsonl",
            **figures,
        )
        for name, figures in counts.items()
    }
    trained = training["training"] if training else None
    if trained and trained["collapsed"]:
        status = "collapsed"
    elif config["limit"] is None and len(results) == len(SUITES[suite]):
        status = "complete"
    else:
        status = "partial"
    return Record(
        schema=1,
        run_id=run,
        created=datetime.now(UTC).replace(microsecond=0),
        status=status,
        model=Model(**{key: config["model"][key] for key in ("name", "label", "path")}),
        method=Method(**method),
        protocol=ProtocolName(**Protocol.from_config(config["protocol"]).identity),
        data=Data(
            name=config["data"]["name"],
            label=config["data"]["label"],
            suite=suite,
            train_rows=trained["rows"] if trained else None,
        ),
        seed=training["config"]["seed"] if training else None,
        config=training["config"] if training else None,
        evaluation=Evaluation(
            limit=config["limit"],
            scoring="generate",
            decoding=decoding.to_diff_dict(),
            batch_size=config["batch_size"],
        ),
        git=Git(**provenance.git_state()),
        packages=provenance.packages(),
        device=Device(**provenance.device()),
        training=Training(**trained) if trained else None,
        benchmarks=results,
        average=Average.of(results, suite),
    )


def _publish(record: Record, folder: Path, target: Path) -> None:
    """Copy the record to the folder that the tables read, its files named from there."""

    def from_target(name: str | None) -> str | None:
        return os.path.relpath(folder / name, target) if name else None

    moved = {
        name: replace(result, predictions=from_target(result.predictions))
        for name, result in record.benchmarks.items()
    }
    training = record.training and replace(
        record.training, metrics_file=from_target(record.training.metrics_file)
    )
    target.mkdir(parents=True, exist_ok=True)
    write_record(
        replace(record, benchmarks=moved, training=training), target / f"{record.run_id}.json"
    )


def _follow(cfg: DictConfig, training: dict[str, Any], overrides: list[str]) -> DictConfig:
    """Take model, data and protocol from the training config where the command line is silent."""
    cfg = cfg.copy()
    for group in GROUPS:
        if not any(override.lstrip("+").split("=")[0] == group for override in overrides):
            inside = [o.lstrip("+") for o in overrides if o.lstrip("+").startswith(f"{group}.")]
            named = OmegaConf.from_dotlist(inside).get(group) or {}
            cfg[group] = OmegaConf.merge(training[group], named)
    return cfg


def _limited(rows: Dataset, limit: int | None) -> Dataset:
    """The first `limit` rows of a fixed shuffle: test files can be sorted by topic."""
    if limit is None or limit >= len(rows):
        return rows
    return rows.select(sorted(shuffled(len(rows), 0, "limit")[:limit]))


def _name(config: dict[str, Any], adapter_path: Path | None) -> str:
    """The run id of something that this project didn't train."""
    what = adapter_path.resolve().name if adapter_path else "base"
    return "-".join(
        [config["model"]["name"], what, config["data"]["name"], config["protocol"]["name"]]
    )


def _label(model, adapter_path: Path | None) -> dict[str, Any]:
    """How the plain base, or an adapter made by other code, is named in records."""
    if adapter_path is None:
        return {"name": "none", "label": "base"}
    config = model.peft_config["default"]
    return {"name": config.peft_type.lower(), "label": str(config.peft_type.value), "r": config.r}


def _check_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but this same evaluation."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    file = folder / IDENTITY
    if not file.is_file():
        raise UserError(f"output_dir={folder}: not empty and not an evaluation; choose another")
    before = json.loads(file.read_text(encoding="utf-8"))
    changed = [key for key in identity if before.get(key) != identity[key]]
    if changed:
        raise UserError(
            f"output_dir={folder}: holds another evaluation (differs in {', '.join(changed)}); "
            "choose another folder"
        )
