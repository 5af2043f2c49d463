"""A run's setting: what it was trained with apart from its seed, and what tells two apart."""

import json
import re
from collections import Counter
from collections.abc import Sequence

from denselora.identity import apart_from_seed
from denselora.results.record import Record
from denselora.typeset import MISSING

# Dotted key -> value as text.
Setting = dict[str, str]


def setting_of(record: Record) -> Setting:
    """The setting of a run; equal for runs that differ only in their seed."""
    method = record.method
    config = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in apart_from_seed(record.config or {}).items()
    }
    if record.config is None and record.method.name != "none":
        # an adapter that other code made: all that is known of its setting is its name
        config["run"] = record.run_id
    # the words of tables first, so that they are the ones that tell settings apart
    return {
        "method": method.label,
        "r": str(method.r),
        "train_rows": str(record.data.train_rows),
        "modules": modules_in_short(method.target_modules),
        "alpha/r": f"{method.alpha / method.r:g}" if method.alpha and method.r else MISSING,
        **dict(sorted(config.items())),
        "trainable": str(method.trainable),
    }


def modules_in_short(modules: Sequence[str] | None) -> str:
    """Module names as the paper writes them: q_proj, k_proj, up_proj is QKU."""
    modules = modules or []
    if all(module.endswith("_proj") for module in modules):
        return "".join(module[0].upper() for module in modules)
    return "+".join(modules)


def differing_keys(settings: Sequence[Setting]) -> list[str]:
    """Keys that tell the settings apart: each parts some that the keys before it don't."""
    keys = []
    for key in {key: None for setting in settings for key in setting}:
        alike: dict[tuple, set] = {}
        for setting in settings:
            alike.setdefault(tuple(map(setting.get, keys)), set()).add(setting.get(key))
        if any(len(values) > 1 for values in alike.values()):
            keys.append(key)
    return keys


def usual_values(
    settings: Sequence[Setting], beside: Sequence[Setting], keys: Sequence[str]
) -> Setting:
    """The most common value of each key, if any; what is more common beside breaks ties."""
    usual = {}
    for key in keys:
        counts = Counter(setting.get(key, MISSING) for setting in settings)
        further = Counter(setting.get(key, MISSING) for setting in beside)
        first, *others = sorted(counts, key=lambda v: (counts[v], further[v]), reverse=True)
        if all((counts[v], further[v]) < (counts[first], further[first]) for v in others):
            usual[key] = first
    return usual


def in_words(setting: Setting, keys: Sequence[str]) -> str:
    """Some of a setting, short enough for a table: "r=16, learning_rate=0.0003"."""
    return ", ".join(
        f"{key.rsplit('.', 1)[-1]}={_three_digits(setting.get(key, MISSING))}" for key in keys
    )


def _three_digits(value: str) -> str:
    """A searched learning rate has seventeen."""
    return f"{float(value):.3g}" if re.fullmatch(r"0\.\d{4,}|\d\.\d+e-\d+", value) else value
