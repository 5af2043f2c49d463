"""The options that make a run again, from its resolved config."""

import json
import re
from functools import cache
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from denselora.command_line.configs import composed
from denselora.command_line.overrides import quoted
from denselora.identity import PLACE, dotted, is_name

GROUPS = ("model", "data", "protocol", "adapter")
PLAIN = re.compile(r"[\w./:+ -]+")  # text that Hydra's command line takes as it is

# Option -> value, as reproduce.py takes them.
Options = dict[str, str]


def training_options(trained: dict[str, Any]) -> Options | None:
    """The options of train.py that make a run with this resolved config; None if configs/ lacks
    what it was made of.

    In the order of the configs, and only those that aren't as they are without being named.
    """
    try:
        named = {group: trained[group]["name"] for group in GROUPS}
    except (KeyError, TypeError):
        return None
    if not all(map(is_name, named.values())):
        return None
    groups = tuple(f"{group}={name}" for group, name in named.items())
    config = _config(*groups)
    if config is None:
        return None
    config, set_here = config.copy(), {}
    had = dotted(trained)
    if "seed" in had:
        set_here["seed"] = config.seed = had["seed"]
    while unlike := _unlike(config, had):
        # others follow those that stand for themselves, and those before them in the order
        names = [name for name in unlike if not _follows(config, name)] or unlike[:1]
        for name in names:
            set_here[name] = had[name]
            OmegaConf.update(config, name, _literal(had[name]))
    set_here |= dict.fromkeys(_missing(*groups) - set_here.keys(), "FOLDER")
    listed = dotted(OmegaConf.to_container(config))
    in_order = {name: set_here[name] for name in listed if name in set_here}
    # PEFT has more options than the configs name
    added = {
        f"+{name}": had[name]
        for name in sorted(had.keys() - listed)
        if name.startswith("adapter.peft.")
    }
    return named | {name: as_typed(value) for name, value in (in_order | added).items()}


@cache
def _config(*groups: str) -> DictConfig | None:
    """train.py's config with these groups; None if configs/ lacks one."""
    try:
        return composed("train", groups)
    except HydraException:
        return None


@cache
def _missing(*groups: str) -> set[str]:
    """The options of that config that have no value."""
    return OmegaConf.missing_keys(_config(*groups))


def _follows(config: DictConfig, name: str) -> bool:
    """Whether an option is what others say, unless it is set."""
    group, _, key = name.rpartition(".")
    return OmegaConf.is_interpolation(OmegaConf.select(config, group) if group else config, key)


def _unlike(config: DictConfig, had: dict[str, Any]) -> list[str]:
    """Options that a run had otherwise, in the config's order; what either lacks is passed over."""
    now = dotted(OmegaConf.to_container(config, resolve=True))
    return [name for name in now if name in had and name not in PLACE and now[name] != had[name]]


def _literal(value: Any) -> Any:
    """A record's value so that OmegaConf, which would interpolate it, gives it back as it is."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", value)
    return [_literal(each) for each in value] if isinstance(value, list) else value


def as_typed(value: Any) -> str:
    """A value as Hydra's command line has it."""
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return value if PLAIN.fullmatch(value) and value.lower() != "null" else quoted(value)
