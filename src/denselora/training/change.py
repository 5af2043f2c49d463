"""The trained matrices before and after, for the heat maps of results.change."""

import re
from pathlib import Path

import numpy as np
import peft
import torch
from safetensors.torch import load_file
from torch import nn

from denselora.results.change import write_change

PER_LAYER = re.compile(
    r"\.(?P<layer>\d+)\.(?:\w+\.)*(?P<module>\w+)\.(?P<part>denselora_core|lora_A|lora_B)\.weight$"
)
SHARED = re.compile(r"denselora_(?P<part>encoder|decoder)\.(?P<module>\w+)\.weight$")
LETTERS = {
    "denselora_core": "M", "lora_A": "A", "lora_B": "B", "encoder": "E", "decoder": "D",
}  # fmt: skip


def matrices(model: nn.Module) -> dict[str, np.ndarray]:
    """A copy of the adapter's matrices by their names in a summary of change; {} without any."""
    if not isinstance(model, peft.PeftModel):
        return {}
    return _named(peft.get_peft_model_state_dict(model, save_embedding_layers=False))


def write_run_change(path: Path, start: dict[str, np.ndarray], adapter: Path) -> None:
    """Write how far the weights of an adapter folder are from where they started."""
    write_change(path, start, _named(load_file(adapter / "adapter_model.safetensors")))


def _named(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    named = {}
    for key, tensor in tensors.items():
        if found := PER_LAYER.search(key):
            name = f"{LETTERS[found['part']]}.{found['layer']}.{found['module']}"
        elif found := SHARED.search(key):
            name = f"{LETTERS[found['part']]}.{found['module']}"
        else:
            continue
        named[name] = tensor.detach().float().cpu().numpy().copy()
    return named
