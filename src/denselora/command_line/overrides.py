"""The overrides on a command line, before Hydra reads them, and what Hydra's errors mean."""

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException

from denselora.command_line.configs import CONFIGS
from denselora.command_line.fields import Several, Text
from denselora.command_line.options import declared_at, is_mapping, kind_of, names, unknown
from denselora.errors import UserError, in_one_line

ARGUMENT = re.compile(r"(?P<sign>~|\+{0,2})(?P<name>[^=]*?)(?P<value>=.*)?", re.DOTALL)


def quoted(text: str) -> str:
    """Text as Hydra's grammar has it, whatever is in it."""
    escaped = text.replace("${", r"\${")
    return QuotedString(text=escaped, quote=Quote.single).with_quotes()


def option_name(argument: str) -> str:
    """The option that an override sets, adds or deletes: trainer.epochs of ++trainer.epochs=1."""
    return ARGUMENT.fullmatch(argument)["name"]


def readable(arguments: Sequence[str], options: type, several: bool) -> list[str]:
    """The arguments with the values of text options in quotes, so that Hydra reads them as they
    were typed, 1e3 and é too. Those with quotes, a ${...} or a null stay Hydra's.

    options: declares a script's options. several: a value with commas is several ones.

    Raises UserError for an option that `options` doesn't have, or with a + that it doesn't need.
    """
    return [_readable(argument, options, several) for argument in arguments]


def check_one_value(overrides: Sequence[str], taker: str) -> None:
    """Raise UserError for an option of several values, of which `taker`, as it says, takes one."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: {taker} takes one value; run it for each")


def explained(error: HydraException) -> str:
    """A line that says what is wrong in a command line that Hydra refuses."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    message = in_one_line(error)
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        if group.startswith("hydra"):
            return f"pip install -e '.[sweeps]': {message}"
        if error.options:
            there = sorted({*error.options, *_choices(group)})
            near = get_close_matches(choice, there, 1)
            nearest = f"; the nearest is {near[0]}" if near else ""
            return f"{group}={choice}: there are {', '.join(there)}{nearest}"
    if found := re.match(
        r"Could not (?:override|delete from config\.) '(?!hydra)([^']+)'", message
    ):
        name = found[1]
        if name.startswith("adapter.peft."):
            return f"{name}: not in the config; +{name}=VALUE adds it"
        group = name.rpartition(".")[0]
        whose = f"the {group} that is chosen has" if group else "this script has"
        return f"{name}: {whose} no such option; see configs/{group}"
    if found := re.match(r"Ambiguous value for argument '(.*?)';", message):
        return (
            f"{found[1]}: one value is wanted here; a list is NAME=[A,B], text with a comma has "
            "quotes; scripts/reproduce.py runs several values one after another"
        )
    return in_one_line(error.__cause__ or error)


def _readable(argument: str, options: type, several: bool) -> str:
    sign, name, value = ARGUMENT.fullmatch(argument).group("sign", "name", "value")
    if argument.startswith("-") or not (value or sign):
        return argument  # Hydra's own options, or what it can't read
    if name.partition(".")[0] == "hydra" or name.startswith("hydra/"):
        return argument
    hint, of_adapters = declared_at(options, name), _of_adapters(options)
    if (CONFIGS / name.partition("@")[0]).is_dir() and (hint or re.search("@|^experiment", name)):
        _check_choice(argument, name, needed=hint is not None)
        return argument
    if hint is None and name not in of_adapters:
        raise unknown(name, [*names(options), *of_adapters])
    if sign.startswith("+") and not (is_mapping(hint) and "." in name):
        raise UserError(f"{argument}: write it without +, which is for what isn't in the config")
    if value is None:
        return argument
    return f"{sign}{name}={_as_text(name, value[1:], kind_of(hint), several)}"


def _check_choice(argument: str, group: str, needed: bool) -> None:
    """Raise UserError for anything but a name, or names to run one after another; null is one where
    the group isn't needed."""
    override = _parsed(argument)
    if override is None or override.is_delete():
        return
    value = override.value()
    chosen = value.list if isinstance(value, ChoiceSweep) else [value]
    if any((not each and needed) or isinstance(each, list | dict) for each in chosen):
        raise UserError(f"{argument}: choose one of {', '.join(_choices(group))}")


def _choices(group: str) -> list[str]:
    folder = CONFIGS / group.partition("@")[0]
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))


def _as_text(name: str, value: str, kind: Any, several: bool) -> str:
    of_list = isinstance(kind, Several) and isinstance(kind.of, Text)
    if not value or not (of_list or isinstance(kind, Text)):
        return value
    if value[0] in "'\"" or "${" in value or value.lower() == "null":
        return value
    override = _parsed(f"{name}={value}")
    if override is None:  # Hydra can't read it: text, unless it was to be several
        is_several = set(value) & set("[,]") if of_list else several and "," in value
        return value if is_several else quoted(value)
    if "\\" in value:
        return value
    if of_list or (several and isinstance(override.value(), ChoiceSweep)):
        return _each_as_text(name, value)
    return value if several and override.is_sweep_override() else quoted(value)


def _each_as_text(name: str, value: str) -> str:
    """A list of values, those that Hydra would read as numbers or flags in quotes."""

    def piece(found: re.Match) -> str:
        override = _parsed(f"{name}={found[0]}")
        is_text = override is None or isinstance(override.value(), str | None)
        return found[0] if is_text else quoted(found[0])

    return value if set(value) & set("'\"(){}") else re.sub(r"[^\[\],\s]+", piece, value)


def _parsed(override: str) -> Override | None:
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except HydraException:
        return None
    return parsed


def _unreadable(override: str) -> str:
    name, is_option, value = override.partition("=")
    if not is_option:
        return f"{override}: can't be read; options are NAME=VALUE"
    whole = f"{name}={quoted(value)}"
    whole = shlex.quote(whole) if set(whole) & set('"$`\\!') else f'"{whole}"'
    return (
        f"{override}: the value can't be read; text with such characters needs quotes, and others "
        f"for the shell around them: {whole}"
    )


@cache
def _of_adapters(options: type) -> frozenset[str]:
    """The options that the files in configs/adapter have, where a script has that group."""
    if declared_at(options, "adapter") is None:
        return frozenset()
    contents = [
        yaml.safe_load(file.read_text("utf-8")) for file in (CONFIGS / "adapter").glob("*.yaml")
    ]
    keys = {key for content in contents for key in content} - {"defaults"}
    return frozenset(f"adapter.{key}" for key in keys)
