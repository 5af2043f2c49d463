"""Adapters from and to other formats: the authors' files, and stock LoRA."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model_state_dict, load_peft_weights
from safetensors.torch import save_file

from denselora.adapter.config import DenseLoraConfig
from denselora.adapter.layer import DenseLoraLayer
from denselora.errors import UserError

CONFIG, BIN, SAFETENSORS = "adapter_config.json", "adapter_model.bin", "adapter_model.safetensors"


def to_lora(model_or_folder: PeftModel | str | Path, out: str | Path) -> None:
    """Write a DenseLoRA adapter with activation "identity" to the folder ``out`` as stock LoRA.

    Without an activation the branch is (α / r) · D · M · E, a LoRA with A = E and B = D · M of the
    same rank and scaling, so plain PEFT, and what reads its files, gives the same outputs.
    A model's active adapter is written. A folder is enough, too, unless layers of one module type
    differ in shape, as only the model knows which is which.

    Raises ``ValueError`` for another activation, another kind of adapter or model, several active
    adapters, or for such a folder.
    """
    if isinstance(model_or_folder, PeftModel):
        model = model_or_folder
        if len(model.active_adapters) != 1:
            raise ValueError(
                f"active adapters: {', '.join(model.active_adapters)}; choose the one to write by "
                "set_adapter"
            )
        (name,) = model.active_adapters
        config, saved = model.peft_config[name], get_peft_model_state_dict(model, adapter_name=name)
        layers = {
            path: [matrix.weight for matrix in layer.matrices(name)]
            for path, layer in model.named_modules()
            if isinstance(layer, DenseLoraLayer) and name in layer.denselora_core
        }
    elif isinstance(model_or_folder, (str, Path)):
        config = PeftConfig.from_pretrained(model_or_folder)
        saved = load_peft_weights(str(model_or_folder), device="cpu")
        layers = _layers_in(saved, config) if isinstance(config, DenseLoraConfig) else {}
    else:
        raise ValueError(
            f"{type(model_or_folder).__name__}: give a PeftModel with DenseLoRA, or an adapter's "
            "folder"
        )
    if not isinstance(config, DenseLoraConfig):
        kind = getattr(config.peft_type, "value", config.peft_type)
        raise ValueError(f"an adapter of type {kind}; only DenseLoRA is written as LoRA")
    activation = next((name for name in config.activations if name != "identity"), None)
    if activation:
        raise ValueError(
            f"activation={activation!r} makes the update depend on the input, which no LoRA "
            "can; only adapters trained with activation='identity' can be written as LoRA"
        )

    tensors = {key: tensor for key, tensor in saved.items() if "denselora_" not in key}
    for path, (E, M, D) in layers.items():
        tensors[f"{path}.lora_A.weight"] = E.detach().clone()
        tensors[f"{path}.lora_B.weight"] = (D @ M).detach()
    lora = LoraConfig(
        r=config.r,
        lora_alpha=config.denselora_alpha,
        lora_dropout=config.denselora_dropout,
        bias=config.bias.replace("denselora", "lora"),
        inference_mode=True,
        **{
            field: getattr(config, field)
            for field in (
                "target_modules",
                "exclude_modules",
                "layers_to_transform",
                "layers_pattern",
                "modules_to_save",
                "task_type",
                "base_model_name_or_path",
                "revision",
            )
        },
    )
    _write(lora, tensors, Path(out))


def from_release(folder: str | Path, out: str | Path | None = None) -> Path:
    """Read an adapter in the layout of the authors' code and write it as ours; returns its folder.

    The authors (github.com/mulin-ahu/DenseLoRA at 864e39b) keep ``adapter_model.bin`` with, for
    each layer, ``lora_m.weight`` [r, r] and a copy of the shared ``lora_encoder.weight`` [r, in]
    and ``lora_decoder.weight`` [out, r], and once more ``lora_encoder_q.weight`` and so on at the
    root. ``out`` is by default ``<folder>/denselora``.

    Raises ``UserError`` if a file is missing or unreadable, holds other keys, or if copies of a
    shared matrix disagree. Nothing but tensors is unpickled.
    """
    folder = Path(folder)
    for name in (CONFIG, BIN):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing; expected an adapter of the authors' code")
    try:
        theirs = json.loads((folder / CONFIG).read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{folder / CONFIG} is not JSON: {error}") from error
    for field in ("r", "lora_alpha", "lora_dropout", "target_modules"):
        if field not in theirs:
            raise UserError(f"{folder / CONFIG} has no field {field}")
    try:
        state = torch.load(folder / BIN, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{folder / BIN} can't be read as tensors and nothing else") from error

    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in state.items():
        in_layer = re.fullmatch(
            r"(?:base_model\.model\.)?(.*?([^.]+))\.lora_(encoder|decoder|m)\.weight", key
        )
        at_root = re.fullmatch(r"(?:base_model\.)?lora_(encoder|decoder)_(\w+)\.weight", key)
        if in_layer and in_layer[3] == "m":
            ours = f"base_model.model.{in_layer[1]}.denselora_core.weight"
        elif in_layer:
            ours = f"base_model.denselora_{in_layer[3]}.{in_layer[2]}.weight"
        elif at_root:
            ours = f"base_model.denselora_{at_root[1]}.{at_root[2]}_proj.weight"
        else:
            raise UserError(f"{folder / BIN}: unexpected key {key}")
        if ours in tensors and not torch.equal(tensors[ours], tensor.float()):
            raise UserError(f"{folder / BIN}: {key} differs from another copy of the same matrix")
        tensors[ours] = tensor.float()

    cores = [key for key in tensors if key.endswith(".denselora_core.weight")]
    if not cores:
        raise UserError(
            f"{folder / BIN} has no lora_m.weight, the dense core M; "
            "the release as published never creates it, so such a file holds no adapter"
        )
    types = {core.split(".")[-3] for core in cores}
    # The authors' root makes pairs for all five module types, adapted or not.
    pairs = [
        f"base_model.denselora_{part}.{t}.weight" for part in ("encoder", "decoder") for t in types
    ]
    for pair in pairs:
        if pair not in tensors:
            raise UserError(f"{folder / BIN} lacks the shared matrix {pair}")

    config = DenseLoraConfig(
        r=theirs["r"],
        denselora_alpha=theirs["lora_alpha"],
        denselora_dropout=theirs["lora_dropout"],
        target_modules=theirs["target_modules"],
        task_type=theirs.get("task_type"),
        base_model_name_or_path=theirs.get("base_model_name_or_path"),
        inference_mode=True,
    )
    out = Path(out) if out is not None else folder / "denselora"
    _write(config, {key: tensors[key] for key in cores + pairs}, out)
    return out


def _layers_in(saved: dict[str, torch.Tensor], config: DenseLoraConfig) -> dict[str, list]:
    """Path of each layer → E, M, D, from the saved keys alone."""
    layers = {}
    for key, core in saved.items():
        path, found, _ = key.partition(".denselora_core.")
        if not found:
            continue
        if config.share == "none":
            pair = path.removeprefix("base_model.model.").replace(".", "-")
        else:
            pair = path.rpartition(".")[2]
        encoder = saved.get(f"base_model.denselora_encoder.{pair}.weight")
        if encoder is None:
            raise ValueError(
                f"which pair {path} shares depends on its shape, which the folder does not tell; "
                "load the adapter on its base model and pass that"
            )
        layers[path] = [encoder, core, saved[f"base_model.denselora_decoder.{pair}.weight"]]
    return layers


def _write(config: PeftConfig, tensors: dict[str, torch.Tensor], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
    save_file(contiguous, out / SAFETENSORS, metadata={"format": "pt"})
    config.save_pretrained(str(out))
