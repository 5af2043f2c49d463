"""A run's setting: what it was trained with apart from its seed, and what tells two apart."""

import json
from collections.abc import Sequence

from denselora.results.record import Record
from denselora.run_id import NOT_PART

# those that aren't given their own value follow the first
SEEDS = ("seed", "seed_init", "seed_data")

# Dotted key -> value as text.
Setting = dict[str, str]


def setting_of(record: Record) -> Setting:
    """The setting of a run; equal for runs that differ only in their seed."""
    method = record.method
    config = {}
    stack = list((record.config or {}).items())
    while stack:
        key, value = stack.pop()
        if key in NOT_PART or (key in SEEDS and value == record.seed):
            continue
        if isinstance(value, dict):
            stack += [(f"{key}.{name}", part) for name, part in value.items()]
        else:
            config[key] = value if isinstance(value, str) else json.dumps(value)
    if record.config is None and record.method.name != "none":
        # an adapter that other code made: all that is known of its setting is its name
        config["run"] = record.run_id
    # the words of tables first, so that they are the ones that tell settings apart
    return {
        "method": method.label,
        "r": str(method.r),
        "train_rows": str(record.data.train_rows),
        "modules": modules_in_short(method.target_modules),
        "alpha": str(method.alpha),
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
    """Keys in which the settings differ, less those that part them as an earlier one does."""
    partings = {}
    for key in {key: None for setting in settings for key in setting}:
        values = [setting.get(key) for setting in settings]
        parting = tuple(values.index(value) for value in values)
        if any(parting):
            partings.setdefault(parting, key)
    return list(partings.values())


def in_words(setting: Setting, keys: Sequence[str]) -> str:
    """Some of a setting, short enough for a table: "r=16, learning_rate=0.0003"."""
    return ", ".join(f"{key.rsplit('.', 1)[-1]}={setting.get(key, '–')}" for key in keys)
