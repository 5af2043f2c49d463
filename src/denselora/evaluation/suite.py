"""Evaluating one model on a suite of benchmarks, from config to run record."""

import json
import os
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
from denselora.results.record import Average, Benchmark, Record, read_record, write_record
from denselora.tasks import SUITES, benchmarks

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
    files = {benchmark.name: root / benchmark.name / "test.json" for benchmark in chosen}
    whole = {name: read_rows(file) for name, file in files.items()}
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
    folder = Path(config["output_dir"] or Path("evaluations") / _suffixed(run, config["limit"]))
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
    decoding = generation_config(protocol.decoding, tokenizer)

    # 5. Decode, judge, count.
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / IDENTITY, identity)
    counts: dict[str, dict[str, Any]] = {}
    with tqdm(total=sum(map(len, rows.values())), unit="row", desc="evaluating") as bar:
        for benchmark in chosen:
            bar.set_postfix_str(benchmark.name)
            counts[benchmark.name] = score(
                benchmark,
                rows[benchmark.name],
                protocol,
                lambda prompts: generate(model, tokenizer, prompts, decoding),
                folder,
                config["batch_size"],
                bar.update,
            )

    # 6. The record.
    results = {
        benchmark.name: Benchmark.counted(
            full_n=len(whole[benchmark.name]),
            chance=benchmark.chance,
            predictions=f"{benchmark.name}.jsonl",
            **counts[benchmark.name],
        )
        for benchmark in chosen
    }
    suite = config["data"]["suite"]
    complete = config["limit"] is None and len(chosen) == len(SUITES[suite])
    figures = training["training"] if training else None
    collapsed = bool(figures and figures["collapsed"])
    record = {
        "schema": 1,
        "run_id": run,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": "collapsed" if collapsed else "complete" if complete else "partial",
        "model": {key: config["model"][key] for key in ("name", "label", "path")},
        "method": training["method"] if training else _method(model, adapter_path),
        "protocol": protocol.identity,
        "data": {
            "name": config["data"]["name"],
            "label": config["data"]["label"],
            "suite": suite,
            "train_rows": figures["rows"] if figures else None,
        },
        "seed": training["config"]["seed"] if training else None,
        "config": training["config"] if training else None,
        "evaluation": {
            "limit": config["limit"],
            "scoring": "generate",
            "decoding": decoding.to_diff_dict(),
            "batch_size": config["batch_size"],
        },
        "git": provenance.git_state(),
        "packages": provenance.packages(),
        "device": provenance.device(),
        "training": figures,
        "benchmarks": results,
        "average": Average.of(results, suite),
    }
    raise NotImplementedError
