"""Adapter folders on one base model, one after the other."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from denselora.adapter import use_fused
from denselora.compatibility import check_quantised
from denselora.errors import UserError, first_line
from denselora.evaluation.base import Base
from denselora.identity import dotted
from denselora.loaded import check_adapter
from denselora.models import load_base, same_base
from denselora.readers import read_json
from denselora.training.run_folder import TRAINING, RunFolder, Trained, read_trained
from denselora.weight_files import check_weights

# what an evaluation reads of the config that an adapter was trained under
READ = (
    *("model.name", "model.label", "model.path", "protocol.name", "adapter.name", "seed"),
    *("data.name", "data.label", "data.suite", "data.path", "data.train_file"),
)


def read_adapter(folder: Path) -> Trained | None:
    """What the run left beside the weights; None for an adapter made by other code.

    Raises UserError if the folder is no adapter's, if one of its files is damaged, or as
    `adapter_config` and `read_trained` do.
    """
    if not folder.is_dir():
        raise UserError(f"adapter_path={folder}: no such folder; give the adapter folder of a run")
    if not (folder / "adapter_config.json").exists() and not (folder / "config.json").exists():
        raise UserError(
            f"adapter_path={folder}: has no adapter_config.json; give the adapter folder of a run "
            "(runs/NAME/adapter)"
        )
    fix = f"get adapter_path={folder} whole again"
    if adapter_config(folder) is None:
        read_json(folder / "config.json", fix)
    if not check_weights(folder, fix):
        raise UserError(f"adapter_path={folder}: has no adapter_model.safetensors; train again")
    return read_trained(folder)


def adapter_config(folder: Path) -> peft.PeftConfig | None:
    """PEFT's config of an adapter; None for the whole model that full fine-tuning leaves.

    Raises UserError for one that PEFT doesn't know, or that prompts with vectors of its own.
    """
    file = folder / "adapter_config.json"
    if not file.exists():
        return None
    fix = f"get adapter_path={folder} whole again, or update peft"
    kind = read_json(file, fix).get("peft_type")
    if isinstance(kind, str) and kind not in peft.PEFT_TYPE_TO_CONFIG_MAPPING:
        _import_method(folder)
    if not isinstance(kind, str) or kind not in peft.PEFT_TYPE_TO_CONFIG_MAPPING:
        raise UserError(f"{file}: peft_type={kind!r} is none that this PEFT has; {fix}")
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # values of wrong types can fail in any way
        raise UserError(f"{file}: none that this PEFT reads ({first_line(error)}); {fix}") from None
    if config.is_prompt_learning:
        raise UserError(
            f"adapter_path={folder}: {config.peft_type.value} puts vectors before the prompt, "
            "which the scorings here don't allow for; give an adapter of weights, such as LoRA"
        )
    return config


def _import_method(folder: Path) -> None:
    """Import the module that training made the method's config with, and which registers it."""
    trained = read_trained(folder)
    target = dotted(trained.config).get("adapter.peft._target_") if trained else None
    if isinstance(target, str) and "." in target:
        with suppress(ImportError):
            import_module(target.rpartition(".")[0])


def check_bits(folder: Path, quantization: str | None, device: torch.device) -> None:
    """Raise UserError if the adapter can't be put on a base that is quantised so."""
    if quantization and (config := adapter_config(folder)):
        check_quantised(f"adapter_path={folder}", config, quantization, device)


def training_config(folder: Path, trained: Trained | None) -> dict[str, Any] | None:
    """The resolved config that an adapter was trained under: of its training.json or, for a
    checkpoint, of the run that it belongs to. None for an adapter made by other code.

    Raises UserError for one that lacks what an evaluation reads of it.
    """
    run = RunFolder(folder.absolute().parent.parent)
    if trained:
        config, file = trained.config, folder / TRAINING
    elif folder.absolute().parent == run.checkpoints:
        config, file = run.config(), run.path / "config.yaml"
    else:
        config = None
    if config is not None:
        values = dotted(config)
        lacking = [name for name in READ if not isinstance(values.get(name), str | int)]
        if not isinstance(values.get("quantization"), str | None):
            lacking.append("quantization")
        if lacking:
            raise UserError(
                f"{file}: the config in it has no usable {', '.join(lacking)}; restore the file, "
                "or train again in another output_dir"
            )
    return config


def config_hash(folder: Path) -> str:
    """sha256 of adapter_config.json, or of a whole model's config.json: what the weights mean."""
    adapter = folder / "adapter_config.json"
    file = adapter if adapter.is_file() else folder / "config.json"
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def adapted(base: Base, folder: Path, trained: Trained | None) -> Iterator[nn.Module]:
    """The base with the adapter of the folder, in evaluation mode; the plain base again after.

    What was trained with trainer.fused=never is evaluated so. A folder of full fine-tuning holds a
    whole model, which is loaded beside the base, quantised as the base is.

    Raises UserError when the adapter was made for another base or its weights don't fit.
    """
    if trained and not same_base(trained.base, base.fingerprint):
        made_for = trained.config["model"]["path"]
        raise UserError(
            f"adapter_path={folder}: made for another base ({made_for}), not for "
            f"model.path={base.path}; choose that model"
        )
    if not (folder / "adapter_config.json").is_file():
        yield load_base(str(folder), base.dtype, base.device, base.quantization).eval()
        return
    # else the operator would score a method that isn't its own
    config = training_config(folder, trained)
    plain = config and dotted(config).get("trainer.fused") == "never"
    with base.used() as frozen:
        model = _load(frozen, folder, base.path)
        saved = peft.load_peft_weights(str(folder), device="cpu")
        check_adapter(model, saved, f"adapter_path={folder}")
        with use_fused("never") if plain else nullcontext():
            yield model.eval()


def _load(base: PreTrainedModel, folder: Path, base_path: str) -> peft.PeftModel:
    """The base with the adapter, as far as it fits: `check_adapter` has to say whether it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the check reports in one line
            return peft.PeftModel.from_pretrained(base, str(folder), ignore_mismatched_sizes=True)
    except KeyError as error:  # of modules_to_save and the like
        raise UserError(
            f"adapter_path={folder}: the weights don't fit its adapter_config.json (missing: "
            f"{error.args[0]}); get the folder whole again"
        ) from None
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # what doesn't fit can fail in any way
        raise UserError(
            f"adapter_path={folder}: doesn't fit model.path={base_path} ({first_line(error)}); "
            "choose the base that it was made for, or get the folder whole again"
        ) from None


@torch.no_grad()
def prompt_logits(model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompt: str) -> Tensor:
    """Logits [1, tokens, vocabulary] of one prompt."""
    ids = tokenizer([prompt], return_tensors="pt")["input_ids"].to(model.device)
    return model(input_ids=ids).logits


def check_effect(adapted: Tensor, plain: Tensor, folder: Path) -> None:
    """Raise UserError if an adapter leaves a prompt's logits exactly as the base has them.

    Such an adapter was never trained, or its weights were not loaded: it would score as the base.
    """
    if torch.equal(adapted, plain):
        raise UserError(
            f"adapter_path={folder}: changes nothing, the logits are exactly the base's; it was "
            "not trained or its weights are missing. Score the base with adapter=none instead"
        )
