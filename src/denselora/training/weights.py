"""What was trained, an adapter by PEFT or a whole model: saved, loaded, and how far it moved."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from denselora.loaded import check_adapter, check_tensors
from denselora.results.change import write_change

PER_LAYER = re.compile(
    r"\.(?P<layer>\d+)\.(?P<inside>(?:\w+\.)*)(?P<module>\w+)\."
    r"(?P<part>denselora_core|lora_A|lora_B)\.weight$"
)
SHARED = re.compile(r"denselora_(?P<part>encoder|decoder)\.(?P<module>[\w-]+)\.weight$")
LETTERS = {
    "denselora_core": "M", "lora_A": "A", "lora_B": "B", "encoder": "E", "decoder": "D",
}  # fmt: skip


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
    """Put a folder written by `save_weights` back into the same model.

    Raises UserError if tensors are missing, unexpected, of another shape or not finite.
    """
    if isinstance(model, peft.PeftModel):
        weights = peft.load_peft_weights(str(folder), device="cpu")
        check_adapter(model, weights, str(folder))
        peft.set_peft_model_state_dict(model, weights)
        return
    weights, own = load_file(folder / "model.safetensors"), model.state_dict()
    # of tied weights one is saved
    saved = {own[name].data_ptr() for name in weights if name in own}
    needed = {k: own[k] for k in own if k in weights or own[k].data_ptr() not in saved}
    check_tensors(weights, needed, str(folder), "the weights aren't the model's")
    model.load_state_dict(weights, strict=False)
    model.tie_weights()


def matrices(model: nn.Module) -> dict[str, np.ndarray]:
    """A copy of the adapter's matrices by their names in a summary of change; {} without any."""
    if not isinstance(model, peft.PeftModel):
        return {}
    return _named(peft.get_peft_model_state_dict(model, save_embedding_layers=False))


def write_run_change(path: Path, start: dict[str, np.ndarray], adapter: Path) -> None:
    """Write how far the weights of an adapter folder are from where they started."""
    write_change(path, start, _named(load_file(adapter / "adapter_model.safetensors")))


def _named(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    layers = {key: found for key in tensors if (found := PER_LAYER.search(key))}
    places = Counter(found.group("layer", "module", "part") for found in layers.values())
    named = {}
    for key, tensor in tensors.items():
        if found := layers.get(key):
            name = f"{LETTERS[found['part']]}.{found['layer']}."
            # GPT-2 has a c_proj in its attention and one in its MLP
            if places[found.group("layer", "module", "part")] > 1:
                name += found["inside"].replace(".", "-")
            name += found["module"]
        elif found := SHARED.search(key):
            name = f"{LETTERS[found['part']]}.{found['module']}"
        else:
            continue
        named[name] = tensor.detach().float().cpu().numpy().copy()
    return named
