"""Puts the configured method on a base model: DenseLoRA, a PEFT baseline, or full fine-tuning."""

from functools import partial
from importlib.metadata import requires
from typing import Any

import peft
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn
from transformers import PreTrainedModel

from denselora.adapter.targets import unmatched
from denselora.errors import UserError, first_line
from denselora.models import count_parameters

RECORDED = ("r", "alpha", "target_modules")  # of the method's group, see `describe`


def attach(model: PreTrainedModel, adapter: DictConfig, steps: int) -> nn.Module:
    """The model with the adapter of the config group `adapter`, ready to train for `steps` steps.

    Raises UserError if the group names no method to train, holds an impossible value, or names
    modules or layers that the model doesn't have.
    """
    if adapter.name == "none":
        raise UserError(
            "adapter=none has nothing to train; score the plain base with "
            "`python scripts/evaluate.py adapter=none`, or choose adapter=denselora"
        )
    if adapter.name == "full":
        return model.requires_grad_(True)
    config = method_config(adapter, steps)
    try:
        if faults := unmatched(config, model):
            raise UserError(
                f"adapter={adapter.name}: {', '.join(faults)} matches nothing in the model; name "
                "modules and layers that it has"
            )
        return _in_fp32(peft.get_peft_model(model, config))
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of values that PEFT doesn't check, it may be any
        raise UserError(f"adapter={adapter.name}: {_cause(error)}; see adapter.peft") from None


def _in_fp32(model: peft.PeftModel) -> peft.PeftModel:
    """With all that is trained in fp32: modules_to_save are copies in the base's precision."""
    for weight in model.parameters():
        if weight.requires_grad and weight.dtype.itemsize < 4:
            weight.data = weight.data.float()
    return model


def method_config(adapter: DictConfig, steps: int) -> peft.PeftConfig:
    """PEFT's config of the config group `adapter`, for a training of so many steps.

    Raises UserError for an impossible value, or a method that the installed PEFT doesn't have.
    """
    target = adapter.peft["_target_"]
    package, _, name = target.rpartition(".")
    if package == "peft" and not hasattr(peft, name):
        (needed,) = [line for line in requires("denselora") if line.startswith("peft")]
        raise UserError(
            f"adapter={adapter.name}: adapter.peft._target_={target}: PEFT {peft.__version__} has "
            f"no {name}; name one that it has, or install {needed} for those of configs/adapter"
        )
    for name, value in adapter.peft.items():
        recorded = "alpha" if name.endswith("_alpha") else name
        if recorded in RECORDED and adapter.get(recorded, value) != value:
            raise UserError(
                f"adapter={adapter.name}: adapter.peft.{name}={value}, while adapter.{recorded}, "
                f"which goes into the record, is {adapter[recorded]}; set adapter.{recorded}"
            )
    try:
        config = instantiate(adapter.peft, _convert_="all")
        if isinstance(config, partial):
            config = config(steps)
    except (InstantiationException, ValueError, TypeError) as error:
        raise UserError(f"adapter={adapter.name}: {_cause(error)}") from None
    config.task_type = "CAUSAL_LM"
    return config


def adalora_config(
    steps: int, r: int, warmup_share: float, final_share: float, **fields: Any
) -> peft.AdaLoraConfig:
    """AdaLoRA's schedule over the run's steps: from rank 1.5 r down to r, on average over matrices.

    Nothing is pruned in the first `warmup_share` of the steps. In the last `final_share` the ranks
    stay as they are. fields: PEFT's.
    """
    return peft.AdaLoraConfig(
        target_r=r,
        init_r=round(1.5 * r),
        total_step=steps,
        tinit=int(warmup_share * steps),
        tfinal=int(final_share * steps),
        deltaT=10,
        **fields,
    )


def describe(model: nn.Module, adapter: dict[str, Any]) -> dict[str, Any]:
    """What a record keeps of the method; trainable_percent is of base and trainable together."""
    trainable, total = count_parameters(model)
    return {
        "name": adapter["name"],
        "label": adapter["label"],
        "r": adapter.get("r"),
        "alpha": adapter.get("alpha"),
        "target_modules": _target_modules(model, adapter),
        "trainable": trainable,
        "total": total,
        "trainable_percent": 100 * trainable / total,
    }


def _target_modules(model: nn.Module, adapter: dict[str, Any]) -> list[str] | None:
    """The names as the config lists them; for all-linear, a regular expression or PEFT's default,
    of the modules that it found in the model.
    """
    wanted = adapter.get("target_modules")
    if isinstance(wanted, str) or (wanted is None and hasattr(model, "peft_config")):
        found = model.base_model.targeted_module_names
        return list(dict.fromkeys(name.rpartition(".")[2] for name in found))
    return wanted


def _cause(error: Exception) -> str:
    return first_line(error.__cause__ or error)
