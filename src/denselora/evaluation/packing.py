"""Rows of unlike length through a model without padding.

Linear layers don't care which row a token belongs to, so they get the rows end to end, as one long
row of real tokens. Attention alone does: there, and there only, queries, keys and values are padded
to the longest row. Nearly all of the work is in the linear layers, so padding costs nearly nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "packed"


class Packing:
    """Where each token stands in the one row and in the padded rows, R of them, L long.

    lengths: tokens of each row; padding goes on the left.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device | str):
        longest = max(lengths)
        sizes = torch.tensor(lengths, device=device)[:, None]
        ends = sizes.cumsum(0)
        self.real = torch.arange(longest, device=device) >= longest - sizes
        """bool [R, L], false at padding."""
        place = ends - longest + torch.arange(longest, device=device)
        self.place = place.clamp(min=0)
        """int64 [R, L], the token of the one row; any token at padding."""
        self.ends = ends
        """int64 [R, 1], where each row ends in the one row."""

    def last(self, count: int) -> Tensor:
        """Where the last so many tokens of each row stand in the one row (int64 [R * count])."""
        return (self.ends + torch.arange(-count, 0, device=self.ends.device)).flatten()

    def pad(self, states: Tensor) -> Tensor:
        """[1, heads, tokens, width] to [R, heads, L, width]."""
        return states[0].transpose(0, 1)[self.place].transpose(1, 2)

    def pack(self, states: Tensor) -> Tensor:
        """[R, L, ...] to [1, tokens, ...]."""
        return states[self.real][None]


def can_pack(model: PreTrainedModel) -> bool:
    """Whether the model's attention is the one that `packed` stands in for: all that is before."""
    config = model.config.get_text_config()
    return config._attn_implementation == "sdpa" and not getattr(config, "sliding_window", None)


@contextmanager
def packed(model: PreTrainedModel, packing: Packing, cache: DynamicCache) -> Iterator[None]:
    """Inside, the model reads the one row [1, tokens]: no cache, but a mask [R, 1, L, P + L].

    cache: of R rows, with P positions already; it gets the keys and values, padded.
    """

    def attend(module, query, key, value, attention_mask, **options):
        key, value = cache.update(packing.pad(key), packing.pad(value), module.layer_idx)
        seen, weights = sdpa_attention_forward(
            module, packing.pad(query), key, value, attention_mask, **options
        )
        return packing.pack(seen), weights

    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation("sdpa")


@contextmanager
def last_block_at(model: nn.Module, place: Tensor, tokens: int) -> Iterator[None]:
    """Inside, the last block of a model that reads one row of so many tokens serves these alone.

    place: int64 [count], the tokens whose logits are wanted. All tokens get keys and values, which
    later ones attend to; no other's state after that block is right. Blocks that aren't built like
    LLaMA's compute everything.
    """
    with ExitStack() as hooks:
        for part in _own_token_alone(model):
            hooks.callback(part.register_forward_pre_hook(_narrow(place)).remove)
            hooks.callback(part.register_forward_hook(_widen(place, tokens)).remove)
        yield


def _own_token_alone(model: nn.Module) -> list[nn.Module]:
    """The parts of the last block whose output at a token no other token sees."""
    blocks = getattr(model.get_decoder(), "layers", [None])
    attention, mlp = (getattr(blocks[-1], name, None) for name in ("self_attn", "mlp"))
    parts = [getattr(attention, name, None) for name in ("q_proj", "o_proj")]
    return [*parts, mlp] if all(parts) and hasattr(mlp, "down_proj") else []


def _narrow(place: Tensor):
    return lambda _, inputs: (inputs[0][:, place],)


def _widen(place: Tensor, tokens: int):
    def widen(_, __, output):
        return output.new_zeros(1, tokens, output.shape[-1]).index_copy_(1, place, output)

    return widen
