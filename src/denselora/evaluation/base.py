"""A base model that one adapter after the other is put on, and that is the same before each."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from denselora.compatibility import check_base
from denselora.digest import digests
from denselora.models import (
    autocast,
    check_access,
    count_parameters,
    fingerprint,
    load_base,
    load_tokenizer,
    read_config,
)
from denselora.threads import use_threads


def checked_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a base that can be had and fits it. Raises as `check_access`,
    `load_tokenizer` and `check_base` do."""
    check_access(path)
    tokenizer = load_tokenizer(path)
    check_base(read_config(path), tokenizer)
    return tokenizer


class Base:
    """The base as `load_base` gives it, frozen and in evaluation mode.

    Adapters do more to a base than wrap its layers: they put trained copies in place of modules
    (modules_to_save), write biases into it, subtract from its weights (PiSSA), or stop in the
    middle when they don't fit. `used` undoes that.
    """

    def __init__(
        self,
        path: str,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        quantization: str | None = None,
    ):
        self.path, self.dtype, self.device = path, dtype, torch.device(device)
        self.quantization = quantization
        self._load()

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Of the plain base, whose weights are read for it once; see `models.fingerprint`."""
        return fingerprint(self.model)

    def autocast(self) -> torch.autocast:
        """To ask under, as was trained: without it PEFT multiplies in an adapter's fp32, or hands
        that on to a base in half precision."""
        return autocast(self.device, self.dtype)

    @contextmanager
    def used(self) -> Iterator[PreTrainedModel]:
        """The model, for an adapter to be put on. After it, `model` is the plain base, bit for bit:
        every module is as it was, and weights that have changed are read anew.
        """
        try:
            yield self.model
        finally:
            for module, attributes in self._modules.items():
                module.__dict__.clear()
                module.__dict__.update(_copied(attributes))
            self.model.requires_grad_(False)
            if digests(self.model) != self._digests:
                self._load()

    def _load(self) -> None:
        self.model = None  # two of them may not fit
        self.__dict__.pop("fingerprint", None)
        model = load_base(self.path, self.dtype, self.device, self.quantization).eval()
        self.model = model.requires_grad_(False)  # what trains is counted
        use_threads(count_parameters(model)[1])
        self._modules = {module: _copied(module.__dict__) for module in model.modules()}
        self._digests = digests(model)


def _copied(attributes: dict) -> dict:
    """A module's attributes; children, parameters and hooks in dicts of their own."""
    return {k: v.copy() if isinstance(v, dict) else v for k, v in attributes.items()}
