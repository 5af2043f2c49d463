"""What can't work together, found before any weight is loaded: method, bits, base, tokenizer, rows.

Each check raises UserError. A base's config is what transformers reads of its config.json.
"""

import copy
import math
import warnings
from collections.abc import Iterable

import bitsandbytes
import peft
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from denselora.errors import UserError, first_line

WIDTH = 256  # of the layer that a method is tried on


def check_base(
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Every token of the tokenizer has its row in the embedding, and the weights aren't quantised
    already, which no record would say."""
    last = max(tokenizer.get_vocab().values())
    if last >= config.vocab_size:
        raise UserError(
            f"model.path={config.name_or_path}: its tokenizer has ids up to {last}, the model a "
            f"vocabulary of {config.vocab_size}; get the folder's files from one place"
        )
    if getattr(config, "quantization_config", None):
        raise UserError(
            f"model.path={config.name_or_path}: its weights are quantised already "
            "(quantization_config in its config.json), which tables wouldn't say; give the "
            "unquantised model, with quantization=nf4 or int8"
        )


def check_positions(config: PretrainedConfig, tokens: int, of: str) -> None:
    """So many tokens fit the positions that the base was made for. of: what has so many."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions and tokens > positions:
        raise UserError(
            f"model.path={config.name_or_path}: made for {positions} tokens, and {of} has "
            f"{tokens}; choose another model or leave long rows out"
        )


def check_prompts(
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Iterable[str],
    room: int,
    windows: bool = False,
) -> None:
    """Each prompt fits, with room for so many tokens after it. windows: whether layers that look
    back less far are computed so; evaluation.context lets every token see all of its prompt."""
    limits = ("max_position_embeddings", "sliding_window", "attention_chunk_size")
    positions, *looking_back = (getattr(config, name, None) or math.inf for name in limits)
    window = math.inf if windows else min(looking_back)
    # a token is a byte at the least, but for those that begin a text
    least = min(positions, window)
    long = [prompt for prompt in prompts if len(prompt.encode()) + 2 + room > least]
    if not long:
        return
    tokens = max(map(len, tokenizer(long)["input_ids"])) + room
    of = f"the longest prompt with {room} for an answer"
    check_positions(config, tokens, of)
    if tokens > window:
        raise UserError(
            f"model.path={config.name_or_path}: its layers look back {window} tokens alone, which "
            f"is not followed here, and {of} has {tokens}; choose scoring=lm-eval or another "
            "model, or leave long rows out"
        )


def check_quantised(
    method: str, config: peft.PeftConfig, quantization: str, device: torch.device
) -> None:
    """A method trains and answers on quantised weights: tried on one small layer.

    What fails without quantisation too isn't this check's to say. method: as the error names it.
    """
    config = copy.copy(config)
    config.target_modules, config.task_type, config.inference_mode = ["layer"], None, False
    for field in ("layers_to_transform", "layers_pattern", "modules_to_save", "exclude_modules"):
        if getattr(config, field, None):
            setattr(config, field, None)
    if getattr(config, "feedforward_modules", None):
        config.feedforward_modules = []
    if _failure(config, None, device):
        return
    if failure := _failure(config, quantization, device):
        raise UserError(
            f"quantization={quantization}: {method} doesn't work with it on {device.type} "
            f"({failure}); choose quantization=null or another adapter"
        )


def _failure(config: peft.PeftConfig, quantization: str | None, device: torch.device) -> str | None:
    """What goes wrong in a step on a layer with the method, or in an evaluation of it."""
    base = nn.Module()
    base.is_loaded_in_4bit, base.is_loaded_in_8bit = quantization == "nf4", quantization == "int8"
    base.layer = {
        None: lambda: nn.Linear(WIDTH, WIDTH, bias=False),
        "nf4": lambda: bitsandbytes.nn.Linear4bit(WIDTH, WIDTH, bias=False, quant_type="nf4"),
        "int8": lambda: bitsandbytes.nn.Linear8bitLt(
            WIDTH, WIDTH, bias=False, has_fp16_weights=False
        ),
    }[quantization]()
    base.to(device)
    base.requires_grad_(False)
    inputs = torch.linspace(-1, 1, 8 * WIDTH, device=device).view(8, WIDTH)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            layer = peft.get_peft_model(base, config).base_model.model.layer
            layer(inputs.clone().requires_grad_()).sum().backward()
            layer.eval()
            with torch.no_grad():
                layer(inputs)
    except Exception as error:
        return first_line(error)
    return None
