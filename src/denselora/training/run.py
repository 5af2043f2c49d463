"""One training run, from resolved config to adapter folder."""

import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from omegaconf import DictConfig, OmegaConf
from transformers import get_linear_schedule_with_warmup

from denselora import provenance
from denselora.data.dataset import tokenise
from denselora.data.order import Schedule, shuffled
from denselora.data.rows import read_rows
from denselora.errors import UserError
from denselora.folders import check_writable, write_json
from denselora.methods import attach, describe
from denselora.models import check_access, fingerprint, load_base, load_tokenizer, precision
from denselora.protocol import Protocol
from denselora.run_id import run_id
from denselora.training.checkpoint import (
    latest_checkpoint,
    random_state,
    read_state,
    restore_random_state,
    save_checkpoint,
)
from denselora.training.loop import Loop, Progress
from denselora.training.settings import Settings
from denselora.training.weights import load_weights, save_weights

TRAINING = "training.json"


def train(cfg: DictConfig) -> Path:
    """Fine-tune the configured model; returns the adapter folder.

    The run folder holds config.yaml, metrics.jsonl (a line per step), checkpoints/ and, at the
    end, adapter/ with PEFT's two files and training.json (figures, config, base).

    Raises UserError for a mistake in config or data, before anything is written.
    """
    # 1. Check what can be checked without loading anything.
    config = _resolve(cfg)
    settings = Settings.from_config(config["trainer"])
    protocol = Protocol.from_config(config["protocol"])
    identity = run_id(config)
    folder = Path(config["output_dir"] or Path("runs") / identity)
    _check_folder(folder, config)
    check_writable(folder, "output_dir")
    check_access(config["model"]["path"])
    train_file = Path(config["data"]["path"]) / config["data"]["train_file"]
    raw = read_rows(train_file)

    # 2. One seed, set before model and adapter exist.
    accelerator = Accelerator(
        mixed_precision="bf16" if precision(_device()) == torch.bfloat16 else "no",
        log_with=config["tracker"],
        project_dir=str(folder),
    )
    micro_batches = settings.micro_batches(accelerator.num_processes)
    set_seed(config["seed"])
    tokenizer = load_tokenizer(config["model"]["path"])
    base = load_base(config["model"]["path"], precision(accelerator.device), accelerator.device)
    base_fingerprint = fingerprint(base)
    if settings.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    model = attach(base, cfg.adapter)
    method = describe(model, config["adapter"])

    # 3. Rows: the held-out ones and the order of the others, from the seed alone.
    order = shuffled(len(raw), config["seed"], "validation")
    if settings.validation_rows >= len(raw):
        raise UserError(
            f"trainer.validation_rows={settings.validation_rows} leaves nothing to train on: "
            f"{train_file} has {len(raw)} rows; lower it"
        )
    held_out = sorted(order[: settings.validation_rows])
    schedule = Schedule(
        sorted(order[settings.validation_rows :]), config["seed"], settings.global_batch_size
    )
    steps = settings.steps(len(schedule.numbers))
    with accelerator.main_process_first():
        rows = tokenise(raw, schedule.used(steps), tokenizer, protocol, str(train_file))
        validation = None
        if held_out:
            validation = tokenise(raw, held_out, tokenizer, protocol, str(train_file))

    # 4. Optimizer and schedule.
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    scheduler = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, steps)
    model, optimizer = accelerator.prepare(model, optimizer)

    # 5. The folder, with the resolved config in it before step one.
    progress = Progress()
    checkpoints = folder / "checkpoints"
    metrics_file = folder / "metrics.jsonl"
    resumed = latest_checkpoint(checkpoints) if config["resume"] else None
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    if resumed:
        state = read_state(resumed)
        load_weights(accelerator.unwrap_model(model), resumed)
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        progress = Progress(**state["progress"])
    if accelerator.is_main_process:
        _keep_metrics(metrics_file, progress.step)
        _print_plan(identity, method, rows, settings, micro_batches, steps, progress.step)
    # dropout's own stream, apart from what initialisation drew, and one for each process
    set_seed(config["seed"], device_specific=True)
    if resumed:
        restore_random_state(state["random"][accelerator.process_index])
    if config["tracker"]:
        accelerator.init_trackers("denselora", config, {"wandb": {"name": identity}})

    # 6. The loop.
    def log(metrics: dict[str, Any]) -> None:
        if accelerator.is_main_process:
            with metrics_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")
        accelerator.log({k: v for k, v in metrics.items() if k != "step"}, step=metrics["step"])

    def save() -> None:
        random_states = gather_object([random_state()])
        if not accelerator.is_main_process:
            return
        save_checkpoint(
            checkpoints,
            progress.step,
            lambda target: save_weights(accelerator.unwrap_model(model), target),
            {
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "progress": vars(progress),
                "random": random_states,
            },
            settings.keep_checkpoints,
        )

    model.train()
    Loop(
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        rows=rows,
        validation=validation,
        schedule=schedule,
        settings=settings,
        loss_reduction=protocol.loss_reduction,
        steps=steps,
        progress=progress,
    ).run(log, save, time.perf_counter)

    # 7. The adapter folder, whole or not at all.
    accelerator.end_training()
    adapter = folder / "adapter"
    if accelerator.is_main_process:
        metrics = [json.loads(line) for line in metrics_file.read_text().splitlines()]
        training = {
            "run_id": identity,
            "config": config,
            "base": base_fingerprint,
            "method": method,
            "protocol": protocol.identity,
            "git": provenance.git_state(),
            "packages": provenance.packages(),
            "device": provenance.device(accelerator.num_processes),
            "training": {
                "steps": progress.step,
                "epochs": metrics[-1]["epoch"],
                "rows": len(rows),
                "tokens": progress.tokens,
                "tokens_per_s": progress.tokens / progress.seconds,
                "peak_memory_gib": provenance.peak_memory_gib(),
                "seconds": progress.seconds,
                "train_loss_nats": metrics[-1]["loss_nats"],
                "validation_loss_nats": metrics[-1].get("validation_loss_nats"),
                "metrics_file": str(metrics_file),
                "collapsed": _collapse(metrics),
            },
        }
        partial = folder / "adapter.partial"
        shutil.rmtree(partial, ignore_errors=True)
        save_weights(accelerator.unwrap_model(model), partial)
        write_json(partial / TRAINING, training)
        shutil.rmtree(adapter, ignore_errors=True)
        os.replace(partial, adapter)
        _print_summary(training, adapter)
    accelerator.wait_for_everyone()
    return adapter


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _resolve(cfg: DictConfig) -> dict[str, Any]:
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        name = sorted(missing)[0]
        raise UserError(f"{name} is not set; add {name}=VALUE")
    return OmegaConf.to_container(cfg, resolve=True)


def _check_folder(folder: Path, config: dict[str, Any]) -> None:
    """Refuse to overwrite a run, or to continue one under another config."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise UserError(f"output_dir={folder}: not empty and not a run; choose another folder")
    if not config["resume"]:
        raise UserError(
            f"output_dir={folder}: holds a run already; continue it with resume=true or choose "
            "another folder"
        )
    before = OmegaConf.to_container(OmegaConf.load(saved))
    if run_id(before) != run_id(config):
        changed = [key for key in config if key != "resume" and before.get(key) != config[key]]
        raise UserError(
            f"output_dir={folder}: was started under another config (differs in "
            f"{', '.join(changed)}); choose another folder or the same options"
        )


def _keep_metrics(file: Path, steps: int) -> None:
    """Drop the lines after the checkpoint, so that each step is there once."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    kept = []
    for line in lines[:steps]:
        kept.append(line + "\n")
    file.write_text("".join(kept), encoding="utf-8")


def _collapse(metrics: list[dict]) -> str | None:
    """Why a run's numbers can't be trusted, or None."""
    if not all(math.isfinite(row["loss_nats"]) for row in metrics):
        return "loss not finite"
    if metrics[-1]["loss_nats"] == 0:
        return "loss at zero"
    validation = [row["validation_loss_nats"] for row in metrics if "validation_loss_nats" in row]
    if len(validation) > 1 and not validation[-1] < 2 * validation[0]:
        return "validation loss diverged"
    return None


def _print_plan(identity, method, rows, settings, micro_batches, steps, start) -> None:
    print(f"run {identity}")
    print(
        f"{method['label']}: {method['trainable']:,} trainable of {method['total']:,} parameters "
        f"({method['trainable_percent']:.4f} %)"
    )
    print(
        f"{len(rows):,} rows, {rows.overlong:,} of them longer than the cut-off; "
        f"{steps} steps of {settings.global_batch_size} rows "
        f"({settings.micro_batch_size} × {micro_batches} a process)"
        + (f"; continuing after step {start}" if start else "")
    )


def _print_summary(training: dict[str, Any], adapter: Path) -> None:
    figures = training["training"]
    print(
        f"{figures['steps']} steps, {figures['tokens']:,} tokens at "
        f"{figures['tokens_per_s']:.0f} tokens/s in {figures['seconds']:.0f} s, "
        f"peak memory {figures['peak_memory_gib']:.2f} GiB, "
        f"last loss {figures['train_loss_nats']:.4f} nats"
    )
    if figures["collapsed"]:
        print(f"COLLAPSED: {figures['collapsed']}")
    print(f"adapter: {adapter}")
