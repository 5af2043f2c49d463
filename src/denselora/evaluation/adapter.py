"""An adapter folder on its base model."""

import hashlib
import json
from pathlib import Path
from typing import Any

import peft
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from denselora.errors import UserError
from denselora.models import fingerprint, same_base
from denselora.training.run import TRAINING


def read_training(folder: Path) -> dict[str, Any] | None:
    """What the run left beside the weights; None for an adapter made by other code."""
    if not folder.is_dir():
        raise UserError(f"adapter_path={folder}: no such folder; give the adapter folder of a run")
    if not (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UserError(
            f"adapter_path={folder}: has no adapter_config.json; give the adapter folder of a run "
            "(runs/NAME/adapter)"
        )
    file = folder / TRAINING
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: malformed JSON, line {error.lineno}; train again") from None


def weights_hash(folder: Path) -> str:
    """sha256 of the adapter's weights: what the predictions in a folder were made with."""
    for name in ("adapter_model.safetensors", "model.safetensors"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    raise UserError(f"adapter_path={folder}: has no adapter_model.safetensors; train again")


def load_adapter(
    base: PreTrainedModel, folder: Path, training: dict[str, Any] | None, base_path: str
) -> nn.Module:
    """The base with the adapter of the folder, in evaluation mode.

    Raises UserError when the adapter was made for another base or its weights don't fit.
    """
    if training and not same_base(training["base"], fingerprint(base)):
        made_for = training["config"]["model"]["path"]
        raise UserError(
            f"adapter_path={folder}: made for another base ({made_for}), not for "
            f"model.path={base_path}; choose that model"
        )
    try:
        model = peft.PeftModel.from_pretrained(base, str(folder))
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"adapter_path={folder}: doesn't fit model.path={base_path} ({reason}); choose the "
            "base that it was made for"
        ) from None
    return model.eval()


@torch.no_grad()
def check_effect(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompt: str, folder: Path
) -> None:
    """Raise UserError if the adapter leaves a prompt's logits exactly as the base has them.

    Such an adapter was never trained, or its weights were not loaded: it would score as the base.
    """
    batch = tokenizer([prompt], return_tensors="pt").to(model.device)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    adapted = model(**inputs).logits
    with model.disable_adapter():
        plain = model(**inputs).logits
    if torch.equal(adapted, plain):
        raise UserError(
            f"adapter_path={folder}: changes nothing, the logits are exactly the base's; it was "
            "not trained or its weights are missing. Score the base with adapter=none instead"
        )
