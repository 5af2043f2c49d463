"""Saving and loading what was trained: an adapter folder by PEFT, or a whole model."""

from pathlib import Path
from typing import Any

import peft
import torch
from accelerate import Accelerator, DistributedType
from safetensors.torch import load_file
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict


def gathered_weights(accelerator: Accelerator, model: nn.Module) -> dict[str, torch.Tensor] | None:
    """The trained weights in one piece where processes hold parts of them, on the main process;
    None where the model itself has them. All processes must call it.

    model: as `accelerator.prepare` returned it.
    """
    if accelerator.is_fsdp2:
        options = StateDictOptions(
            full_state_dict=True, cpu_offload=True, ignore_frozen_params=True
        )
        return get_model_state_dict(model, options=options)
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return accelerator.get_state_dict(model)
    return None


def save_weights(model: nn.Module, folder: Path, weights: dict[str, Any] | None = None) -> None:
    """Write the adapter (or, after full fine-tuning, the model) as a folder others can load.

    weights: what `gathered_weights` gave.
    """
    options = {} if weights is None else {"state_dict": weights}
    if isinstance(model, peft.PeftModel):
        # "auto" would ask the hub about the base's vocabulary
        options["save_embedding_layers"] = False
    model.save_pretrained(folder, **options)


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put a folder written by `save_weights` back into the same model."""
    if isinstance(model, peft.PeftModel):
        weights = peft.load_peft_weights(str(folder), device="cpu")
        peft.set_peft_model_state_dict(model, weights)
    else:
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        model.tie_weights()
