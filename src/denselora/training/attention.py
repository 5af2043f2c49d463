"""Attention for rows that lie end to end in one sequence, each seeing itself alone.

transformers finds it under the name "varlen". On a GPU in half precision it is torch's flash
attention over rows of varying length; elsewhere each row goes through torch's plain attention.
torch.compile leaves it as it is: how the rows lie changes from pass to pass.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PreTrainedModel

from denselora.data.batch import Batch, pack


class Rows:
    """Where the rows of a pass lie; its lengths need no copy from the GPU.

    Neither a dataclass nor a tuple: torch.compile would look into it and compile anew for each.
    """

    def __init__(self, starts: torch.Tensor, lengths: tuple[int, ...], longest: int):
        self.starts, self.lengths, self.longest = starts, lengths, longest


@torch.compiler.disable
def varlen_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    dropout: float = 0.0,
    rows: Rows | None = None,
    **others,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each row.

    query [1, heads, tokens, width], key and value [1, key heads, tokens, width] give
    [1, tokens, heads, width]. The model hands on what `row_arguments` gives it.

    Raises NotImplementedError for weights that are capped, biased or dropped out, which isn't
    computed here, and from a model that hands nothing on.
    """
    if (
        rows is None
        or dropout
        or any(others.get(name) is not None for name in ("softcap", "s_aux", "position_bias"))
    ):
        raise NotImplementedError
    before = sliding_window - 1 if sliding_window else -1  # tokens seen before one's own, -1: all
    kind = query.device.type
    # as autocast casts for torch's attention: fp32 has no flash
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        half = torch.get_autocast_dtype(kind)
        query, key, value = (part.to(half) for part in (query, key, value))
    if _flash(query, value):
        # not every torch from 2.11 on lets several heads share a key in this function
        shared = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
        q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
        where = (rows.starts, rows.starts, rows.longest, rows.longest)
        return varlen_attn(q, k, v, *where, scale=scaling, window_size=(before, 0))[None], None
    parts = zip(*(part.split(rows.lengths, dim=2) for part in (query, key, value)), strict=True)
    y = torch.cat([_one_row(*part, scaling, before) for part in parts], dim=2)
    return y.transpose(1, 2), None


def _one_row(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, before: int
) -> torch.Tensor:
    tokens, mask = query.shape[2], None
    if 0 <= before < tokens - 1:
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device)
        mask = mask.tril().triu(-before)
    return F.scaled_dot_product_attention(
        query, key, value, mask, is_causal=mask is None, scale=scaling, enable_gqa=True
    )


AttentionInterface.register("varlen", varlen_attention)


def row_arguments(batch: Batch) -> dict:
    """Where the rows of a batch lie, for `varlen_attention` and by the names that transformers has
    for layers of other kinds."""
    return arguments(Rows(batch.starts, batch.lengths, max(batch.lengths)))


def arguments(rows: Rows) -> dict:
    """By the names that the model hands on."""
    return {
        "cu_seq_lens_q": rows.starts,
        "cu_seq_lens_k": rows.starts,
        "max_length_q": rows.longest,
        "max_length_k": rows.longest,
        "rows": rows,
    }


def keep_rows_apart(model: PreTrainedModel) -> bool:
    """Make the model see each row of a pass alone; whether it does, tried on two short rows.

    A model of another kind, say with state-space layers or capped attention, is left as it was.
    """
    before, training = model.config._attn_implementation, model.training
    if not model._supports_attention_backend:
        return False
    model.set_attn_implementation("varlen")
    try:
        device = model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            _last_logits(model.train(), [TRIED[0]])  # with what training alone asks for
        apart = _keeps_rows_apart(model.eval())
    except NotImplementedError:
        apart = False
    model.train(training)
    if not apart:
        model.set_attn_implementation(before)
    return apart


TRIED = range(1, 9), range(9, 17)  # the tokens of two rows


def _keeps_rows_apart(model: PreTrainedModel) -> bool:
    alone, beside = _last_logits(model, TRIED[1:]), _last_logits(model, TRIED)
    if alone.is_meta:  # nothing to compare
        return True
    rounding = torch.finfo(model.dtype).eps ** 0.5
    return bool((alone - beside).norm() <= rounding * alone.norm())


@torch.no_grad()
def _last_logits(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """After the last token of all rows in one pass."""
    batch = pack([{"input_ids": ids, "labels": ids} for ids in rows], [1.0] * len(rows))
    batch = batch.to(model.device)
    return model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        logits_to_keep=1,
        use_cache=False,
        **row_arguments(batch),
    ).logits.float()


def _flash(query: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether torch's flash attention takes it."""
    return (
        query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] == value.shape[-1] <= 256
        and query.shape[-1] % 8 == 0
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )
