"""The optimizer that the config names."""

import torch
from torch import nn

from denselora.errors import UserError


def check_optimizer(name: str, device: torch.device) -> None:
    """Raise UserError for an 8-bit optimizer without a GPU."""
    if name.endswith("_8bit") and device.type != "cuda":
        raise UserError(f"trainer.optimizer={name} needs a GPU; use trainer.optimizer=adamw")


def build_optimizer(
    model: nn.Module, name: str, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW over the trained parameters: torch's, or with 8-bit states by bitsandbytes."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if name == "adamw":
        return torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
    import bitsandbytes

    kind = {
        "adamw_8bit": bitsandbytes.optim.AdamW8bit,
        "paged_adamw_8bit": bitsandbytes.optim.PagedAdamW8bit,
    }[name]
    return kind(trained, lr=learning_rate, weight_decay=weight_decay)
