"""The optimizer that the config names, with the learning rates that it names."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from denselora.adapter.parameter_groups import CORE, LORA_B, parameter_groups
from denselora.errors import UserError

# option of an adapter's config group: whose rate it is
RATIOS = {"core_learning_rate_ratio": CORE, "b_learning_rate_ratio": LORA_B}


def check_optimizer(name: str, device: torch.device) -> None:
    """Raise UserError for an 8-bit optimizer without a GPU."""
    if name.endswith("_8bit") and device.type != "cuda":
        raise UserError(f"trainer.optimizer={name} needs a GPU; use trainer.optimizer=adamw")


def build_optimizer(
    model: nn.Module,
    name: str,
    learning_rate: float,
    weight_decay: float,
    adapter: Mapping[str, Any],
) -> torch.optim.Optimizer:
    """AdamW over the trained parameters: torch's, or with 8-bit states by bitsandbytes.

    adapter: its config group, which may give a part of the parameters a rate of its own.
    """
    groups = parameter_groups(model, learning_rate)
    for option, part in RATIOS.items():
        if (ratio := adapter.get(option, 1)) != 1:
            groups = parameter_groups(model, learning_rate, ratio, part)
    if name == "adamw":
        return torch.optim.AdamW(groups, weight_decay=weight_decay)
    import bitsandbytes

    kind = {
        "adamw_8bit": bitsandbytes.optim.AdamW8bit,
        "paged_adamw_8bit": bitsandbytes.optim.PagedAdamW8bit,
    }[name]
    return kind(groups, lr=learning_rate, weight_decay=weight_decay)
