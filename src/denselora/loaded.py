"""The check after every load: each tensor is there, no other is, the shapes fit, all is finite.

transformers and PEFT load what they can and draw the rest at random, with a warning at most.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import peft
import torch
from torch import Tensor, nn

from denselora.errors import UserError

NAMED = 3  # tensors that an error names of each kind


def check_model(model: nn.Module, info: Mapping[str, Any], where: str) -> None:
    """Raise UserError unless a whole model was loaded from a folder that holds it and no more.

    info: what from_pretrained gives with output_loading_info=True and ignore_mismatched_sizes=True;
    tied weights and buffers that needn't be saved are none of its missing keys. where: the option
    and folder, as the error's beginning.
    """
    _check(
        where,
        "the weights don't fit its config.json",
        missing=info["missing_keys"],
        unexpected=info["unexpected_keys"],
        of_another_shape=[
            f"{key} {list(saved)} for {list(own)}" for key, saved, own in info["mismatched_keys"]
        ],
        not_finite=not_finite(_all_weights(model)),
    )


def check_adapter(model: peft.PeftModel, saved: Mapping[str, Tensor], where: str) -> None:
    """Raise UserError unless the saved tensors are those that the model's adapter would save.

    PEFT may save the base's embeddings as well; these are no part of the adapter.
    """
    own = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    extra = saved.keys() - own.keys()
    if extra:
        extra -= peft.get_peft_model_state_dict(model, save_embedding_layers=True).keys()
    check_tensors(saved, own, where, "the weights don't fit its adapter_config.json", extra)


def check_tensors(
    saved: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    where: str,
    fault: str,
    unexpected: Collection[str] | None = None,
) -> None:
    """Raise UserError unless saved tensors have the names, shapes and kind of numbers of a model's.

    fault: what it means if they don't. unexpected: the names that don't belong there; by default
    all that the model lacks.
    """
    _check(
        where,
        fault,
        missing=own.keys() - saved.keys(),
        unexpected=saved.keys() - own.keys() if unexpected is None else unexpected,
        of_another_shape=[
            f"{key} {list(saved[key].shape)} for {list(tensor.shape)}"
            for key, tensor in own.items()
            if key in saved and saved[key].shape != tensor.shape
        ],
        of_another_type=[
            f"{key} {saved[key].dtype}".replace("torch.", "")
            for key, tensor in own.items()
            if key in saved and tensor.is_floating_point() != saved[key].is_floating_point()
        ],
        not_finite=not_finite(saved.items()),
    )


@torch.no_grad()
def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Names of the tensors that hold NaN or infinity.

    One pass over the memory, without a copy: the least and the largest value show both.
    """
    extremes = {
        name: torch.stack(tensor.aminmax()).float().cpu()
        for name, tensor in tensors
        if tensor.is_floating_point() and tensor.numel() and not tensor.is_meta
    }
    return [name for name, both in extremes.items() if not both.isfinite().all()]


def _all_weights(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Parameters and buffers; of a quantised weight, the scales, where NaN and infinity end up."""
    yield from model.named_buffers()
    for name, parameter in model.named_parameters():
        yield name, parameter
        state = getattr(parameter, "quant_state", None)
        for scales in (state, getattr(state, "state2", None)):
            if scales is not None:
                yield name, scales.absmax
        if getattr(state, "offset", None) is not None:
            yield name, state.offset
        if getattr(parameter, "SCB", None) is not None:
            yield name, parameter.SCB


def _check(where: str, fault: str, **kinds: Collection[str]) -> None:
    found = [
        f"{kind.replace('_', ' ')}: {_few(sorted(names))}" for kind, names in kinds.items() if names
    ]
    if found:
        if found[0].startswith("not finite"):
            fault = "weights are NaN or infinite"
        raise UserError(f"{where}: {fault} ({'; '.join(found)}); get the folder whole again")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if names[NAMED:] else ""
    return ", ".join(names[:NAMED]) + more
