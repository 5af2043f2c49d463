"""A base model that one adapter after the other is put on, and that is the same before each."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from denselora.models import load_base

# 64-bit words summed at a time: what is held beside the tensor
CHUNK = 2**20


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
            if _digests(self.model) != self._digests:
                self._load()

    def _load(self) -> None:
        self.model = None  # two of them may not fit
        model = load_base(self.path, self.dtype, self.device, self.quantization).eval()
        self.model = model.requires_grad_(False)  # what trains is counted
        self._modules = {module: _copied(module.__dict__) for module in model.modules()}
        self._digests = _digests(model)


def _copied(attributes: dict) -> dict:
    """A module's attributes; children, parameters and hooks in dicts of their own."""
    return {k: v.copy() if isinstance(v, dict) else v for k, v in attributes.items()}


def _digests(model: nn.Module) -> dict[str, int]:
    """A digest of every tensor by its name: any change of a value, however small, changes it."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    # stacked, so that a GPU is waited for once
    values = torch.stack([_digest(tensor.detach()) for tensor in tensors.values()]).tolist()
    return dict(zip(tensors, values, strict=True))


def _digest(tensor: Tensor) -> Tensor:
    """Sum of the tensor's words times odd numbers that grow with the place, mod 2⁶⁴ (int64 [])."""
    data = tensor.contiguous().flatten().view(torch.uint8)
    words = data.view(torch.int64) if len(data) % 8 == 0 else data.long()
    odd = 2 * torch.arange(min(CHUNK, len(words)), device=tensor.device) + 1
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    for chunk in words.split(CHUNK):
        total = 31 * total + (chunk * odd[: len(chunk)]).sum()
    return total
