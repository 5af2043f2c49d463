"""Adapters from and to other formats: the authors' files, and stock LoRA."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model_state_dict, load_peft_weights
from pydantic import Field, TypeAdapter, ValidationError
from pydantic import dataclasses as checked
from safetensors import SafetensorError
from safetensors.torch import save_file

from denselora.adapter.config import DenseLoraConfig
from denselora.adapter.layer import DenseLoraLinear
from denselora.errors import UserError, first_fault, first_line
from denselora.files import writing
from denselora.readers import read_head, read_json
from denselora.weight_files import check_weights

CONFIG, BIN, SAFETENSORS = "adapter_config.json", "adapter_model.bin", "adapter_model.safetensors"
EXPECTED = "give the two files that the authors' code wrote"


@checked.dataclass(frozen=True, kw_only=True)
class Release:
    """The fields of the authors' adapter_config.json that say how the matrices are meant."""

    r: Annotated[int, Field(gt=0, strict=True)]
    lora_alpha: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
    lora_dropout: Annotated[float, Field(ge=0, lt=1, strict=True)]
    target_modules: str | Annotated[list[str], Field(min_length=1)]
    task_type: str | None = None
    base_model_name_or_path: str | None = None


def to_lora(model_or_folder: PeftModel | str | Path, out: str | Path) -> None:
    """Write a DenseLoRA adapter with activation "identity" to the folder ``out`` as stock LoRA.

    Without an activation the branch is (α / r) · D · M · E, a LoRA with A = E and B = D · M of the
    same rank and scaling, so plain PEFT, and what reads its files, gives the same outputs.
    A model's active adapter is written. A folder is enough, too, unless layers of one module type
    differ in shape, as only the model knows which is which.

    Raises ``ValueError`` for another activation, another kind of adapter or model, several active
    adapters, or for such a folder; ``UserError`` for damaged files.
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
            if isinstance(layer, DenseLoraLinear) and name in layer.denselora_core
        }
    elif isinstance(model_or_folder, (str, Path)):
        _apart(Path(model_or_folder), Path(out))
        if Path(model_or_folder).is_dir():
            fix = "give an adapter's folder, with its two files whole"
            read_json(Path(model_or_folder, CONFIG), fix)
            if not check_weights(Path(model_or_folder), fix):
                raise UserError(f"{model_or_folder}: has no weights; {fix}")
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
        tensors[f"{path}.lora_B.weight"] = (D.to(M.device) @ M).detach()
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

    Raises ``UserError`` for files that hold anything else, or if copies of a shared matrix
    disagree; nothing is written then. Nothing but tensors is unpickled.
    """
    folder = Path(folder)
    for name in (CONFIG, BIN):
        if not (folder / name).exists():
            raise UserError(f"{folder / name} is missing; expected an adapter of the authors' code")
    theirs = _release_config(folder / CONFIG)
    file = folder / BIN
    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in _release_tensors(file).items():
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
            raise UserError(f"{file}: unexpected key {key!r}; {EXPECTED}")
        if ours in tensors and not torch.equal(tensors[ours], tensor):
            raise UserError(
                f"{file}: {key} differs from another copy of the same matrix; {EXPECTED}"
            )
        tensors[ours] = tensor

    cores = [key for key in tensors if key.endswith(".denselora_core.weight")]
    if not cores:
        raise UserError(
            f"{file} has no lora_m.weight, the dense core M; "
            "the release as published never creates it, so such a file holds no adapter"
        )
    types = sorted({core.split(".")[-3] for core in cores})
    # The authors' root makes pairs for all five module types, adapted or not.
    pairs = [
        f"base_model.denselora_{part}.{t}.weight" for part in ("encoder", "decoder") for t in types
    ]
    for pair in pairs:
        if pair not in tensors:
            raise UserError(f"{file} lacks the shared matrix {pair}; {EXPECTED}")
    r = theirs.r
    for key in cores + pairs:
        shape = tensors[key].shape
        sides = (shape[:1], shape[1:], shape)[_side(key)]
        if len(shape) != 2 or any(side != r for side in sides):
            expected = ("[r, in]", "[out, r]", "[r, r]")[_side(key)]
            raise UserError(
                f"{file}: {key} is {list(shape)}, expected {expected} with r={r} of {CONFIG}; "
                "use the two files of one training"
            )

    try:
        config = DenseLoraConfig(
            r=r,
            denselora_alpha=theirs.lora_alpha,
            denselora_dropout=theirs.lora_dropout,
            target_modules=theirs.target_modules,
            task_type=theirs.task_type,
            base_model_name_or_path=theirs.base_model_name_or_path,
            inference_mode=True,
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"{folder / CONFIG}: {first_line(error)}; {EXPECTED}") from error
    out = Path(out) if out is not None else folder / "denselora"
    _apart(folder, out)
    _write(config, {key: tensors[key] for key in cores + pairs}, out)
    return out


def _side(key: str) -> int:
    """Which part of a layer a tensor is: 0 the encoder, 1 the decoder, 2 the core."""
    parts = ("denselora_encoder", "denselora_decoder", "denselora_core")
    return next(at for at, part in enumerate(parts) if f".{part}." in key)


def _release_config(file: Path) -> Release:
    content = read_json(file, EXPECTED)
    try:
        return TypeAdapter(Release).validate_python(content)
    except ValidationError as error:
        raise UserError(f"{file}: {first_fault(error)}; {EXPECTED}") from None


def _release_tensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of the authors' file by their names, in fp32."""
    read_head(file, EXPECTED)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has one for each kind of content
        raise UserError(f"{file} can't be read as tensors and nothing else; {EXPECTED}") from error
    if not isinstance(state, dict):
        raise UserError(f"{file} holds a {type(state).__name__}, not tensors by name; {EXPECTED}")
    tensors = {}
    for key, tensor in state.items():
        is_matrix = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        is_name = isinstance(key, str) and key.isprintable()
        if not is_name or not is_matrix or not tensor.is_floating_point():
            raise UserError(f"{file}: {key!r} is no tensor of numbers by its name; {EXPECTED}")
        if tensor.is_meta or not tensor.isfinite().all():
            raise UserError(f"{file}: {key!r} holds NaN, infinity or nothing; {EXPECTED}")
        tensors[key] = tensor.float()
    return tensors


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
        decoder = saved.get(f"base_model.denselora_decoder.{pair}.weight")
        if encoder is None or decoder is None:
            raise ValueError(
                f"which pair {path} shares depends on its shape, which the folder does not say; "
                "load the adapter on its base model and pass that"
            )
        layers[path] = [encoder, core, decoder]
    return layers


def _apart(source: Path, out: Path) -> None:
    """Raise UserError if an adapter would be written over the one that it is made from."""
    if out.resolve() == source.resolve():
        raise UserError(f"out={out}: holds the adapter that is read; give another folder")


def _write(config: PeftConfig, tensors: dict[str, torch.Tensor], out: Path) -> None:
    """Write an adapter's two files, or neither where that can't be done: UserError."""
    out = out.resolve()  # . has no name
    contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
    with writing(out):
        partial = Path(tempfile.mkdtemp(prefix=f"{out.name}.", dir=out.parent))
        try:
            save_file(contiguous, partial / SAFETENSORS, metadata={"format": "pt"})
            config.save_pretrained(str(partial))
            out.mkdir(exist_ok=True)
            for file in partial.iterdir():
                os.replace(file, out / file.name)
        except SafetensorError as error:  # its own for a disk that is full
            raise OSError(first_line(error)) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
