"""A record in the form of PEFT's own method comparison (its method_comparison/MetaMathQA).

Keys and folders are those of huggingface/peft in July 2026. Its run.py writes such files itself;
this is for runs of this project that are to be read with its tools.
"""

from pathlib import Path
from typing import Any

from denselora.errors import UserError
from denselora.readers import read_json
from denselora.results.record import Record
from denselora.weight_files import weights_hash

# what a base is held in when it isn't quantised -> their name of it
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "nf4": "int4", "int8": "int8"}

OPTIMIZERS = {"adamw": "AdamW"}


def comparison_result(record: Record, adapter: Path) -> dict[str, Any]:
    """The record of an evaluation of an adapter's folder, by their keys.

    Null where a record doesn't say: memory over time, the hub's commits. Accuracies are fractions.
    Raises UserError for the plain base, a folder without PEFT's two files or with other weights.
    """
    if record.config is None or record.training is None:
        raise UserError(f"{record.file}: no training of this project; give an adapter's record")
    files = [adapter / "adapter_config.json", adapter / "adapter_model.safetensors"]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: is missing; give the adapter's folder")
    made_of = (record.evaluation.made_of or {}).get("adapter")
    if made_of and not weights_hash(adapter).startswith(made_of):
        raise UserError(f"{adapter}: not the adapter of {record.file}; give the folder of that one")
    config, weights = files
    peft_config = read_json(config, "get the folder whole again")
    training = record.training
    try:
        device, packages = _trained_on(record, adapter)
        train_config = _train_config(record, device)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{record.file}: its config, or {adapter}/training.json, isn't a training's ({error}); "
            "restore it, or evaluate again"
        ) from None
    return {
        "run_info": {
            "created_at": record.created.isoformat(),
            "total_time": training.seconds + sum(p.seconds for p in record.benchmarks.values()),
            "experiment_name": f"{record.method.name}/{record.run_id}",
            "peft_branch": None,
            "train_config": train_config,
            "peft_config": peft_config,
            "error_msg": training.collapsed or "",
        },
        "train_info": {
            "accelerator_memory_reserved_avg": None,
            "accelerator_memory_max": _bytes(training.peak_memory_gib),
            "accelerator_memory_reserved_99th": None,
            "train_time": training.seconds,
            "file_size": weights.stat().st_size,
            "num_trainable_params": record.method.trainable,
            "num_total_params": record.method.total,
            "status": "failed" if training.collapsed else "success",
            "metrics": [_last_metrics(record)],
        },
        "meta_info": {
            "model_info": {"sha": None, "created_at": None},
            "dataset_info": {record.data.name: {"sha": None, "created_at": None}},
            "package_info": {f"{k}-version": v for k, v in packages.items()},
            "system_info": {"accelerator": device},
            "pytorch_info": None,
        },
    }


def _trained_on(record: Record, adapter: Path) -> tuple[str, dict[str, str]]:
    """The machine and the packages of the training."""
    if record.trained_on:
        return record.trained_on.device.name, record.trained_on.packages
    # an older record doesn't say
    trained = read_json(adapter / "training.json", "get the folder whole again")
    return trained["device"]["name"], trained["packages"]


def _train_config(record: Record, device: str) -> dict[str, Any]:
    config, trainer = record.config, record.config["trainer"]
    precision = trainer["precision"]
    if precision == "auto":
        precision = "fp32" if device.startswith("CPU") else "bf16"
    return {
        "model_id": record.model.path,
        "dtype": DTYPES[config.get("quantization") or precision],
        "max_seq_length": config["protocol"]["cutoff"],
        "batch_size": trainer["global_batch_size"],
        "batch_size_eval": record.evaluation.batch_size,
        "max_steps": record.training.steps,
        "eval_steps": trainer["eval_steps"],
        "compile": trainer["compile"],
        "use_gc": trainer["gradient_checkpointing"],
        "query_template": config["protocol"]["prompt"]["evaluate"].replace(
            "{instruction}", "{query}"
        ),
        "seed": record.seed,
        "grad_norm_clip": trainer["max_grad_norm"],
        "optimizer_type": OPTIMIZERS.get(trainer["optimizer"], trainer["optimizer"]),
        "optimizer_kwargs": {
            "lr": trainer["learning_rate"],
            "weight_decay": trainer["weight_decay"],
        },
        "lr_scheduler": "linear",
        "use_amp": precision != "fp32",
        "autocast_adapter_dtype": True,
        "generation_kwargs": record.evaluation.decoding,
        "attn_implementation": None,
        "init_kv_cache_prefix": None,
    }


def _last_metrics(record: Record) -> dict[str, Any]:
    """Theirs has an entry every few steps; a record has the end of training and the test."""
    training = record.training
    return {
        "step": training.steps,
        "test accuracy": record.average.accuracy if record.average else None,
        "train loss": training.train_loss_nats,
        "train samples": training.steps * record.config["trainer"]["global_batch_size"],
        "train total tokens": training.tokens,
        "tokens / sec": training.tokens_per_s,
    }


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else round(gib * 2**30)
