"""Base models and their tokenizers, from a hub id or a local folder."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from accelerate import init_empty_weights
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from denselora.digest import digest
from denselora.errors import UserError, first_line
from denselora.loaded import check_model
from denselora.readers import read_json
from denselora.weight_files import check_weights


def check_access(path: str) -> None:
    """Make sure that a model can be had, by one small request if it is on the hub.

    Raises UserError with the way to get access when the folder or the hub's answer says no, and for
    a folder with code of its own, which is never run.
    """
    if _is_folder_name(path) and not Path(path).is_dir():
        raise UserError(f"model.path={path}: no such folder; give a model folder or a hub id")
    if Path(path).is_dir():
        _check_folder(path)
        read_config(path)
        return
    if not is_hub_id(path):
        raise UserError(
            f"model.path={path}: neither a folder nor a hub id, which is `name` or `owner/name`; "
            "give one of them"
        )
    if not isinstance(huggingface_hub.try_to_load_from_cache(path, "config.json"), str):
        try:
            huggingface_hub.auth_check(path)
        except Exception as error:  # each version of the hub client has its own network errors
            raise _unreachable(path, error) from None


def read_config(path: str) -> PretrainedConfig:
    """The model's config.json. Raises UserError where there is none that transformers takes, or it
    is of more than a text model."""
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        text = config.get_text_config()
    except Exception as error:  # values of wrong types can fail in any way
        raise _unreachable(path, error) from None
    if text is not config:
        raise UserError(
            f"model.path={path}: a {config.model_type} model is more than a text model; save its "
            "text model in a folder of its own, or choose another"
        )
    return config


def empty_base(path: str) -> PreTrainedModel:
    """The model on the meta device: shapes without weights. Raises UserError where config.json
    makes none that has layers and weights."""
    config = read_config(path)
    try:
        with init_empty_weights(include_buffers=False):
            base = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        base.tie_weights()  # the move to the meta device has parted them
    except Exception as error:  # values of wrong types can fail in any way
        raise _unreachable(path, error) from None
    base.config.pad_token_id = None  # else some models look for it in tokens, which have no values
    has_layers = getattr(config, "num_hidden_layers", 1) > 0
    if not has_layers or not sum(parameter.numel() for parameter in base.parameters()):
        raise UserError(
            f"model.path={path}: its config.json makes a model without layers or weights; get the "
            "folder whole again"
        )
    return base


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer as every part of the project uses it.

    Padding is on the left, so that generation continues every row at its end. The pad id is 0, as
    in the authors' scripts; nothing reads it, because padding is always masked and carries no
    label. BOS is whatever the tokenizer adds by itself (LLaMA: yes; SmolLM2: no). EOS is for
    training to append; a tokenizer that ends every text with it would end the prompts too.

    Don't save this tokenizer: in LLaMA-3 id 0 is "!", which a reloaded copy takes for padding and
    leaves out of decoded text.

    Raises UserError where there is no tokenizer, it needs code of its own, it has no EOS or it
    appends a token by itself.
    """
    _check_folder(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, padding_side="left", trust_remote_code=False
        )
        ends, bare = (tokenizer("a", add_special_tokens=s)["input_ids"][-1] for s in (True, False))
    except Exception as error:  # of a damaged file, tokenizers has nothing narrower
        raise _unreachable(path, error) from None
    tokenizer.pad_token_id = 0
    if tokenizer.eos_token_id is None:
        raise UserError(f"model.path={path}: its tokenizer has no EOS token; training needs one")
    if ends != bare:
        token = tokenizer.convert_ids_to_tokens(ends)
        raise UserError(
            f"model.path={path}: its tokenizer ends every text with {token}, prompts too; take it "
            "out of the post_processor in tokenizer.json"
        )
    return tokenizer


NEEDS_CODE = (
    "comes with code of its own, which is never run here; use a model of a type that transformers "
    "has, in a folder without auto_map"
)
INCOMPLETE = "model.path={} is not a complete model folder, get that file again"


def load_base(
    path: str,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    quantization: str | None = None,
) -> PreTrainedModel:
    """The base model in `dtype`, with decoding fields that come from nowhere but the protocol.

    quantization: "nf4" or "int8" keeps the frozen linear layers in 4 or 8 bits by bitsandbytes
    (nf4 with double quantisation, as in QLoRA) and computes in `dtype`.

    A hub's generation_config.json can switch sampling on (LLaMA-3's does), so it is replaced.

    Raises UserError where there is no model, its weights don't pass `loaded.check_model`, or there
    is no such quantization.
    """
    check_access(path)
    options = {}
    if quantization:
        options = {
            "quantization_config": _quantization_config(quantization, dtype),
            "device_map": {"": torch.device(device)},
        }
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the check reports them in one line
            **options,
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a config of impossible sizes can fail in any way
        raise _unreachable(path, error) from None
    check_model(model, info, f"model.path={path}")
    model.generation_config = GenerationConfig()
    return model if quantization else model.to(device)


def _quantization_config(name: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    if name == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    raise UserError(f"quantization={name}: use one of nf4, int8, or null")


def precision(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """The dtype to compute in. auto: bf16 where the GPU computes in it, fp32 elsewhere.

    Raises UserError for one that the device can't do.
    """
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        return torch.bfloat16 if has_bf16 else torch.float32
    if wanted == "fp16" and device.type != "cuda":
        raise UserError("trainer.precision=fp16 needs a GPU; use auto or fp32")
    if wanted == "bf16" and device.type == "cuda" and not has_bf16:
        raise UserError("trainer.precision=bf16: this GPU doesn't compute in it; use auto or fp16")
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[wanted]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Computing in a dtype as `precision` gives it: in half precision torch casts each product, in
    fp32 nothing."""
    return torch.autocast(device.type, dtype, enabled=dtype.itemsize < 4)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters; a 4-bit weight counts what it stands for, as PEFT counts."""
    if hasattr(model, "get_nb_trainable_parameters"):
        return model.get_nb_trainable_parameters()
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trained in sizes if trained), sum(n for n, _ in sizes)


SAMPLES = 64


def fingerprint(model: PreTrainedModel) -> dict[str, Any]:
    """What tells one base from another: its shape and its weights.

    content: a digest of all parameters, which any change of any value changes, fp32 ones taken as
    the bf16 that they round to; and the types that they were held in. Nothing of it is sampled:
    16 GB are read once. embedding_samples: 64 evenly spaced entries of the input embedding, which
    no quantisation touches. By them alone bases that were held in other types are compared.
    """
    config = model.config
    weight = model.get_input_embeddings().weight.detach().flatten()
    at = torch.linspace(0, weight.numel() - 1, SAMPLES, dtype=torch.float64).long()
    return {
        "architecture": type(model).__name__,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "embedding_samples": [round(v, 6) for v in weight[at.to(weight.device)].float().tolist()],
        "content": _content(model),
    }


def _content(model: nn.Module) -> dict[str, str]:
    parameters = [parameter.detach() for parameter in model.parameters()]
    types = {parameter.dtype for parameter in parameters}
    if types <= {torch.float32, torch.bfloat16}:  # to others the rounding isn't the same
        types = {torch.bfloat16}
    values = [digest(p.bfloat16() if types == {torch.bfloat16} else p) for p in parameters]
    # stacked, so that a GPU is waited for once
    text = json.dumps([[list(p.shape) for p in parameters], torch.stack(values).tolist()])
    return {
        "held_in": "+".join(sorted(str(each).removeprefix("torch.") for each in types)),
        "digest": sha256(text.encode()).hexdigest(),
    }


def same_base(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two fingerprints are of one base: to the bit where both were held in the same types,
    else up to the rounding of half precision. Those of earlier versions have no content."""
    weights = {"embedding_samples", "content"}
    if one.keys() - weights != other.keys() - weights:
        return False
    if any(one[key] != other[key] for key in one if key not in weights):
        return False
    contents = [which.get("content") for which in (one, other)]
    try:
        if all(contents) and contents[0]["held_in"] == contents[1]["held_in"]:
            return contents[0] == contents[1]
        a, b = (torch.tensor(which["embedding_samples"]) for which in (one, other))
        return torch.allclose(a, b, rtol=2**-7, atol=1e-5)
    except (KeyError, TypeError, ValueError, RuntimeError):  # read from a file, it may be anything
        return False


def is_hub_id(path: str) -> bool:
    """Whether a name could be a repository's on the hub: `name` or `owner/name`."""
    try:
        validate_repo_id(path)
    except HFValidationError:
        return False
    return True


def _is_folder_name(path: str) -> bool:
    """A hub id is `name` or `owner/name`; anything else can only be a folder."""
    return path.startswith((".", "/", "~")) or path.count("/") > 1 or os.path.exists(path)


def _check_folder(path: str) -> None:
    """Raise UserError for a model folder with a damaged file, or as `_refuse_code` does."""
    _refuse_code(path)
    fix = INCOMPLETE.format(path)
    for name in ("tokenizer.json", "generation_config.json", "special_tokens_map.json"):
        if (Path(path) / name).exists():
            read_json(Path(path) / name, fix)
    check_weights(Path(path), fix)


def _refuse_code(path: str) -> None:
    """Raise UserError for a folder that names code of its own: transformers would ask on stdin
    whether to run it, unless it has the class itself."""
    for name in ("config.json", "tokenizer_config.json"):
        file = Path(path) / name
        if file.exists() and "auto_map" in read_json(file, INCOMPLETE.format(path)):
            raise UserError(f"model.path={path}: {NEEDS_CODE} (auto_map in {name})")


def _unreachable(path: str, error: Exception) -> UserError:
    if "trust_remote_code" in str(error):
        return UserError(f"model.path={path}: {NEEDS_CODE}")
    if Path(path).is_dir():
        return UserError(
            f"model.path={path}: not a complete model folder ({first_line(error)}); it needs "
            "config.json, model.safetensors and the tokenizer's files"
        )
    causes, cause = [], error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return UserError(
            f"model.path={path}: gated; accept its licence at https://huggingface.co/{path}, then "
            "`hf auth login`, or give a local folder by model.path="
        )
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return UserError(
            f"model.path={path}: no such model folder here and none on the hub (or it is private: "
            "`hf auth login`)"
        )
    return UserError(
        f"model.path={path}: not on disk and the hub can't be reached. Weights of gated models: "
        f"accept the licence at https://huggingface.co/{path}, `hf auth login` and stay online, or "
        "give a local folder by model.path="
    )
