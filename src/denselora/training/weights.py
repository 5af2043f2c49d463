"""Saving and loading what was trained: an adapter folder by PEFT, or a whole model."""

from pathlib import Path

import peft
from safetensors.torch import load_file
from torch import nn


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write the adapter (or, after full fine-tuning, the model) as a folder others can load."""
    if isinstance(model, peft.PeftModel):
        # "auto" would ask the hub about the base's vocabulary
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        model.save_pretrained(folder)


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put a folder written by `save_weights` back into the same model."""
    if isinstance(model, peft.PeftModel):
        weights = peft.load_peft_weights(str(folder), device="cpu")
        peft.set_peft_model_state_dict(model, weights)
    else:
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        model.tie_weights()
