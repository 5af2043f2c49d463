"""Linear layers whose weights are laid out for oneDNN once, for many passes on a CPU.

torch multiplies fp32 matrices with MKL there. oneDNN is faster on some processors, above all where
it needn't rearrange the weight in every call. What an adapter adds to a weight (LoRA; not DenseLoRA
with GELU) goes into the rearranged copy, which saves the adapter's own products and sums. Results
differ by rounding.
"""

import copy
from collections.abc import Iterator
from typing import Self

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

# Tokens of a batch, about: what the layout is chosen for. Any other number is computed as well.
TOKENS = 512


class Prepacked:
    """While entered, the model's linear layers compute from rearranged copies of their weights.

    The copies are made at once and take as much memory as the weights, which stay as they are, to
    the bit. There are no gradients. The head is left out, since few positions reach it, and so is
    every layer that isn't fp32 on a CPU.
    """

    def __init__(self, model: nn.Module):
        layers = _layers(model, model.get_output_embeddings())
        # some methods share a module among layers
        self.layers = list({id(layer.module): layer for layer in layers}.values())

    def __enter__(self) -> Self:
        for layer in self.layers:
            layer.module.forward = layer
        return self

    def __exit__(self, *_) -> None:
        for layer in self.layers:
            del layer.module.forward


class _Layer:
    """What a module computes, x · Wᵀ + b with x [..., in], in place of its own forward."""

    def __init__(self, module: nn.Module, linear: nn.Linear):
        # these two are torch.compile's way into oneDNN; torch offers no other
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), TOKENS)
        self.bias = None if linear.bias is None else linear.bias.detach().clone()
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def _layers(module: nn.Module, head: nn.Module) -> Iterator[_Layer]:
    for child in module.children():
        if child is head:
            continue
        if isinstance(child, BaseTunerLayer) and _fits(child.get_base_layer()):
            layer = _merged(child)
        else:
            layer = _Layer(child, child) if _fits(child) else None
        if layer:
            yield layer
        else:
            yield from _layers(child, head)


def _fits(module: nn.Module) -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and type(module) is nn.Linear  # a quantised layer is a subclass
        and module.weight.device.type == "cpu"
        and module.weight.dtype == torch.float32
    )


def _merged(adapter: BaseTunerLayer) -> _Layer | None:
    """A linear layer with its adapter; None where no weight can hold what the adapter does."""
    base = adapter.get_base_layer()
    kept = copy.deepcopy(base.state_dict())  # subtracting what was added would leave rounding
    try:
        adapter.merge()
        merged = adapter.get_base_layer()  # some methods put another one in its place
        layer = _Layer(adapter, merged) if _fits(merged) else None
        adapter.unmerge()
    except (ValueError, NotImplementedError, RuntimeError):
        layer = None
    base.load_state_dict(kept)
    return layer
