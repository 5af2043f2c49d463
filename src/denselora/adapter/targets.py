"""The module names in a config that no module of the model has.

PEFT is content if one of target_modules matches, and with no match at all of the other fields.
"""

import re
from collections.abc import Iterable

from peft import PeftConfig
from torch import nn


def unmatched(config: PeftConfig, model: nn.Module) -> list[str]:
    """What of a PEFT method's config matches nothing in the base model: "target_modules: k_porj".

    target_modules given as a regular expression or "all-linear" is left to PEFT, which raises.
    """
    names = [name for name, _ in model.named_modules()]
    faults = []
    targets = getattr(config, "target_modules", None)
    if targets is not None and not isinstance(targets, str):
        faults += _not_among("target_modules", targets, names)
        names_adapted = [name for name in names if any(_is(name, each) for each in targets)]
        faults += _not_among_layers(config, names_adapted)
    faults += _not_among("modules_to_save", getattr(config, "modules_to_save", None) or (), names)
    excluded = getattr(config, "exclude_modules", None) or ()
    if not isinstance(excluded, str):
        faults += _not_among("exclude_modules", excluded, names)
    elif not any(re.fullmatch(excluded, name) for name in names):
        faults.append(f"exclude_modules: {excluded}")
    return faults


def _not_among(field: str, wanted: Iterable[str], names: Iterable[str]) -> list[str]:
    return [
        f"{field}: {each}" for each in sorted(wanted) if not any(_is(name, each) for name in names)
    ]


def _not_among_layers(config: PeftConfig, names: Iterable[str]) -> list[str]:
    layers = getattr(config, "layers_to_transform", None)
    wanted = [layers] if isinstance(layers, int) else layers or ()
    return [
        f"layers_to_transform: {number}"
        for number in wanted
        if not any(f".{number}." in name for name in names)
    ]


def _is(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith(f".{wanted}")
