"""A script's options, checked once: its config against the types that they are declared with."""

import dataclasses
import types
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from denselora.command_line.fields import Kind
from denselora.errors import UserError

T = TypeVar("T")
LONGEST_SHOWN = 200
ALIKE = 0.6  # of 1, names at which one may be meant for the other


def accepted(cfg: DictConfig, declared: type) -> DictConfig:
    """The config, with its values as `declared` reads them; what is interpolated follows.

    Raises UserError for an option without a value, and as `checked` does.
    """
    try:
        values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except (MissingMandatoryValue, InterpolationToMissingValueError):
        missing = min(OmegaConf.missing_keys(cfg))
        raise UserError(f"{missing} is not set; add {missing}=VALUE") from None
    _convert(cfg, checked(declared, values), values)
    return cfg


def checked(declared: type[T], values: Mapping[str, Any], group: str = "") -> T:
    """Options from plain values.

    group: which the options are of, "" for a script's whole config. Raises UserError in one line
    for the first one that is missing, unknown or impossible.
    """
    try:
        return TypeAdapter(declared).validate_python(values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise UserError(_line(declared, fault, f"{group}." if group else "")) from None


def declared_at(declared: type, name: str) -> Any:
    """The annotation of an option by its dotted name, in which a number stands for a list's item;
    of the mapping for what lies in one that may hold anything; None if there is no such option."""
    hint: Any = declared
    for part in name.split("."):
        if part.isdecimal() and list in _parts(hint):
            continue
        group = _group(hint)
        if group is None:
            return hint if dict in _parts(hint) else None
        hint = _hints(group).get(part)
        if hint is None:
            return None
    return hint


def kind_of(hint: Any) -> Kind | None:
    """The kind of value that an annotation takes, alone or beside None."""
    return next((part for part in _parts(hint) if isinstance(part, Kind)), None)


def is_mapping(hint: Any) -> bool:
    """Whether an annotation takes a mapping with any options."""
    return dict in _parts(hint)


def names(declared: type, prefix: str = "") -> list[str]:
    """Dotted names of all options and groups."""
    found = []
    for name, hint in _hints(declared).items():
        group = _group(hint)
        found += [prefix + name, *(names(group, f"{prefix}{name}.") if group else ())]
    return found


def unknown(name: str, known: Iterable[str]) -> UserError:
    """The error for an option that there isn't, which names the one most like it, if one is."""

    def likeness(other: str) -> tuple[float, float]:
        whole = SequenceMatcher(None, name, other).ratio()
        last = SequenceMatcher(None, name.rpartition(".")[2], other.rpartition(".")[2]).ratio()
        return max(whole, last), whole

    nearest = max(known, key=likeness)
    hint = f"the nearest is {nearest}" if likeness(nearest)[0] >= ALIKE else "configs/ has them all"
    return UserError(f"{name}: there is no such option; {hint}")


def _line(declared: type, fault: ErrorDetails, prefix: str) -> str:
    path = [str(part) for part in fault["loc"]]
    own, kind, value = ".".join(path), fault["type"], fault["input"]
    name = prefix + own
    if kind in ("missing", "missing_keyword_only_argument"):
        return f"{name} is missing; give it a value"
    if kind == "unexpected_keyword_argument":
        return str(unknown(name, [prefix + each for each in names(declared)]))
    if kind == "literal_error":
        words = get_args(next(p for p in _parts(declared_at(declared, own)) if _is_literal(p)))
        fix = f"use one of {', '.join(words)}"
    elif kind == "value_error":
        fix = str(fault["ctx"]["error"])
    elif kind == "list_type":
        fix = "give a list"
    else:
        fix = "give a mapping with the group's options"
    null = ", or null" if type(None) in _parts(declared_at(declared, own)) else ""
    return f"{name}={_shown(value)}: {fix}{null}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        text = f"[{','.join(map(_shown, value))}]"
    elif value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    else:
        text = str(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _convert(cfg: DictConfig, options: Any, values: Mapping[str, Any]) -> None:
    """Put what the types have changed into the config."""
    for field in dataclasses.fields(options):
        name = field.name
        if name not in values:
            continue
        new, old = getattr(options, name), values[name]
        if dataclasses.is_dataclass(new):
            _convert(cfg[name], new, old)
        elif isinstance(new, list) and any(map(dataclasses.is_dataclass, new)):
            for node, one, before in zip(cfg[name], new, old, strict=True):
                _convert(node, one, before)
        elif repr(new) != repr(old) and not OmegaConf.is_interpolation(cfg, name):
            cfg[name] = new


@cache
def _hints(declared: type) -> dict[str, Any]:
    return get_type_hints(declared, include_extras=True)


def _group(hint: Any) -> type | None:
    """The options class that an annotation names."""
    classes = (part for part in _parts(hint) if isinstance(part, type))
    return next(filter(dataclasses.is_dataclass, classes), None)


def _parts(hint: Any) -> list[Any]:
    """What an annotation is made of: the members of a union, a list's items, and what is annotated
    to them."""
    if get_origin(hint) in (Union, types.UnionType):
        return [part for member in get_args(hint) for part in _parts(member)]
    if get_origin(hint) is Annotated:
        base, *metadata = get_args(hint)
        return [*_parts(base), *metadata]
    if get_origin(hint) is list:
        return [list, *_parts(*get_args(hint))]
    return [hint if _is_literal(hint) else get_origin(hint) or hint]


def _is_literal(hint: Any) -> bool:
    return get_origin(hint) is Literal
