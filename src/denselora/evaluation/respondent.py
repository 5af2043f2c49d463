"""Who answers: a model with its tokenizer, under a protocol."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn
from transformers import PreTrainedTokenizerBase

from denselora.evaluation.adapter_folder import adapted, check_bits, read_adapter
from denselora.evaluation.base import Base, checked_tokenizer
from denselora.evaluation.context import check_readable
from denselora.evaluation.subjects import follow
from denselora.models import precision
from denselora.protocol import Protocol


@dataclass(frozen=True)
class Respondent:
    """A model that is asked in a protocol's words."""

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    protocol: Protocol


@contextmanager
def load_respondent(
    cfg: DictConfig, overrides: Sequence[str]
) -> Iterator[tuple[dict[str, Any], Respondent]]:
    """The resolved config, and the base, or the base with the adapter of `adapter_path`, under the
    config's protocol.

    Model, data, protocol and quantization are those of the adapter's training unless named in
    overrides.
    """
    folder = Path(cfg.adapter_path) if cfg.adapter_path else None
    trained = read_adapter(folder) if folder else None
    config = follow(cfg, [folder], [trained], overrides)
    path = config["model"]["path"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = checked_tokenizer(path)
    if folder:
        check_bits(folder, config["quantization"], device)
    base = Base(path, precision(device), device, config["quantization"])
    with base.autocast():
        check_readable(base.model, path)
    subject = adapted(base, folder, trained) if folder else nullcontext(base.model)
    with subject as model, base.autocast():
        yield config, Respondent(model, tokenizer, Protocol.from_config(config["protocol"]))
