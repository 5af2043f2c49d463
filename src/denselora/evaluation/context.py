"""Prompts read once: their keys and values, and how further tokens attend to them.

Everything that scores or decodes starts here. A row's prompt is computed once. What may follow it
(four beams, or the answers to compare) is appended to that one row as a tree: every appended token
attends to the prompt and to its own ancestors alone, which a mask says, so nothing is copied per
beam and no cache is reordered.

Letters in shapes: R rows, P cached positions (the head's and the prompts', padding included),
N tokens appended now, A tokens appended before, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig, PreTrainedModel

from denselora.errors import UserError, first_line
from denselora.evaluation.packing import Packing, can_pack, last_block_at, packed
from denselora.out_of_memory import is_out_of_memory


@dataclass(frozen=True)
class Head:
    """The tokens that all prompts begin with, computed once; none for an empty head."""

    ids: list[int]
    layers: list[tuple[Tensor, Tensor]]

    def cache(self, rows: int) -> DynamicCache:
        """A cache of so many rows that holds the head; the rows share its memory."""
        cache = DynamicCache()
        for number, (keys, values) in enumerate(self.layers):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), number)
        return cache


@dataclass
class Context:
    """Rows of prompts in the model's cache, ready for more tokens.

    visible: bool [R, P], false at padding.
    length: int64 [R], the tokens of each prompt, which is the position of the next one.
    logits: float32 [R, V] after each prompt's last token.
    written: what each row has written already, and counts as its prompt here.
    """

    model: nn.Module
    cache: DynamicCache
    visible: Tensor
    length: Tensor
    logits: Tensor
    written: list[list[int]]

    @torch.no_grad()
    def append(self, tokens: Tensor, ancestors: Tensor, depth: Tensor | int) -> Tensor:
        """Logits (float32 [R, N, V]) after each of the tokens [R, N], which join the cache.

        ancestors: bool [R, N, A + N], which appended tokens each of them attends to, itself too.
        depth: how many tokens stand between the prompt and each of them (int64 [R, N], or one).
        """
        rows, new = tokens.shape
        prompt = self.visible[:, None].expand(rows, new, -1)
        attends = torch.cat([prompt, ancestors], dim=-1)[:, None]
        logits = self.model(
            input_ids=tokens,
            attention_mask=_additive(attends, self.model.dtype),
            position_ids=(self.length[:, None] + depth).expand(rows, new),
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return finite(logits).float()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone (int64 [kept])."""
        self.cache.batch_select_indices(rows)
        self.visible, self.length = self.visible[rows], self.length[rows]


def finite(logits: Tensor) -> Tensor:
    """The logits [..., V]. Raises UserError if one of the best is NaN or infinite: argmax and topk
    would answer all the same. What a model rules out may be at -inf.
    """
    if not logits.amax(-1).isfinite().all():
        raise UserError("the model's scores aren't finite (NaN or infinity); no answer is taken")
    return logits


def shared_head(rows: Sequence[Sequence[int]]) -> list[int]:
    """The longest beginning that all rows of ids share, short of any row's last token."""
    first, last = min(rows), max(rows)  # these two differ first
    longest = min(map(len, rows)) - 1
    shared = 0
    while shared < longest and first[shared] == last[shared]:
        shared += 1
    return list(first[:shared])


@torch.no_grad()
def compute_head(model: nn.Module, ids: Sequence[int]) -> Head:
    """Run the head through the model."""
    if not ids:
        return Head([], [])
    cache = DynamicCache()
    tokens = torch.tensor([list(ids)], device=model.device)
    model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Head(list(ids), [(layer.keys, layer.values) for layer in cache.layers])


@torch.no_grad()
def read_prompts(
    model: nn.Module, head: Head, prompts: Sequence[Sequence[int]], draft: Sequence[int] = ()
) -> Context:
    """Run prompts (token ids, each longer than the head that it begins with) through the model.

    In the cache they are padded on the left; padding is masked, and positions count a prompt's own
    tokens. The model itself reads them without padding if its attention allows.

    draft: what the rows are likely to go on with. It is read with the prompts, and a row keeps it
    up to where its own likeliest token is another: greedy decoding's outcome in fewer passes
    (speculative decoding, Leviathan et al. 2023, with a draft that is known beforehand).
    """
    device, start, guessed = model.device, len(head.ids), len(draft)
    bodies = [[*ids[start:], *draft] for ids in prompts]
    packing = Packing([len(body) for body in bodies], device)
    length = torch.tensor([start + len(body) for body in bodies], device=device)
    visible = torch.cat([packing.real.new_ones(len(bodies), start), packing.real], dim=1)
    cache = head.cache(len(bodies))
    positions = (visible.cumsum(1) - 1).clamp(min=0)[:, start:]
    if can_pack(model):
        attends = visible[:, None, None] & _causal(packing, start)
        tokens = torch.tensor([[i for body in bodies for i in body]], device=device)
        wanted = packing.last(guessed + 1)
        with packed(model, packing, cache), last_block_at(model, wanted, tokens.shape[1]):
            logits = model(
                input_ids=tokens,
                attention_mask=_additive(attends, model.dtype),
                position_ids=packing.pack(positions),
                use_cache=False,
                logits_to_keep=wanted,
            ).logits[0]
    else:
        longest = packing.real.shape[1]
        rows = [[0] * (longest - len(body)) + body for body in bodies]
        logits = model(
            input_ids=torch.tensor(rows, device=device),
            attention_mask=visible.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=guessed + 1,
        ).logits
    logits = finite(logits).view(len(bodies), guessed + 1, -1)
    ahead = torch.arange(guessed, device=device)
    right = logits[:, :-1].argmax(-1) == torch.tensor(list(draft), device=device)
    kept = right.long().cumprod(1).sum(1)
    visible[:, visible.shape[1] - guessed :] &= ahead < kept[:, None]
    return Context(
        model,
        cache,
        visible,
        length - guessed + kept,
        logits[torch.arange(len(bodies), device=device), kept].float(),
        [list(draft[:n]) for n in kept.tolist()],
    )


@torch.no_grad()
def check_readable(model: PreTrainedModel, path: str) -> None:
    """Raise UserError for a kind of model that prompts can't be read with like this: tried on two
    prompts with two tokens after each, side by side, against the model's own reading of the second.

    path: as the error names it. Scores that aren't finite are for those to report who ask.
    """
    head, prompts, after = [1], [[1, 2], [1, 2, 3]], [1, 2]
    why = _counts_columns(model.config)
    try:
        context = read_prompts(model, compute_head(model, head), prompts)
        ids = torch.tensor([after] * len(prompts), device=model.device)
        ancestors = torch.eye(2, dtype=torch.bool, device=model.device).repeat(len(prompts), 1, 1)
        found = context.append(ids, ancestors, depth=0)[:, -1]
        own = [torch.tensor([[*prompt, after[-1]]], device=model.device) for prompt in prompts]
        expected = torch.stack([model(each).logits[0, -1].float() for each in own])
        off = float((found - expected).norm() / expected.norm())
        # quantised layers round each batch by itself, and in half precision an expert may change
        is_exact = model.dtype == torch.float32 and not hasattr(model.config, "quantization_config")
        if off > (5e-3 if is_exact else 0.3):
            why = f"its scores are off by {off:.1%}"
    except UserError:
        return
    except Exception as error:  # each kind fails in its own way
        if is_out_of_memory(error):
            raise
        why = first_line(error)
    if why:
        raise UserError(
            f"model.path={path}: {type(model).__name__} isn't built in a way that prompts can be "
            f"read with here ({why}); choose scoring=lm-eval or another model"
        )


def _counts_columns(config: PretrainedConfig) -> str | None:
    """Why a model attends by how many columns lie between two tokens, of whichever branch, and not
    by their positions: too little to see on short prompts in half precision."""
    if config.model_type == "gpt_neo":
        return "its attention has a window of columns"
    parts = (config, getattr(config, "attn_config", None))
    return "ALiBi" if any(getattr(part, "alibi", False) for part in parts) else None


def _causal(packing: Packing, start: int) -> Tensor:
    """bool [L, start + L]: a column of the padded rows sees the head, itself and those before."""
    longest, device = packing.real.shape[1], packing.real.device
    return torch.ones(longest, start + longest, dtype=torch.bool, device=device).tril(start)


def _additive(attends: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a query attends and the lowest number where it doesn't: for every attention kernel
    of transformers that takes a mask.
    """
    return torch.zeros(attends.shape, dtype=dtype, device=attends.device).masked_fill_(
        ~attends, torch.finfo(dtype).min
    )
