"""Adapter folders as the authors' code writes them."""

import json

import torch

from tests.tiny import TARGETS


def release_folder(folder, model, change=None):
    """What the authors' code would save of this model, had it run; ``change`` spoils the file."""
    state = {}
    for path, layer in model.named_modules():
        if hasattr(layer, "denselora_core"):
            E, M, D = (matrix.weight.detach().clone() for matrix in layer.matrices("default"))
            state[f"{path}.lora_encoder.weight"] = E
            state[f"{path}.lora_decoder.weight"] = D
            state[f"{path}.lora_m.weight"] = M
            short = path.rpartition(".")[2].removesuffix("_proj")
            state[f"base_model.lora_encoder_{short}.weight"] = E.clone()
            state[f"base_model.lora_decoder_{short}.weight"] = D.clone()
    if change is not None:
        change(state)
    config = {
        "r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.05,
        "target_modules": TARGETS,
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
    }
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    torch.save(state, folder / "adapter_model.bin")
    return folder
