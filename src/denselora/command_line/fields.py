"""The types that options have. An error's text continues "option=value: "."""

import math
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic_core import core_schema

from denselora.identity import is_name

# declares a group of options; an unknown one is refused
options = partial(checked_dataclass, frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))

# bytes of a file's name that leave room for what is put behind it, as ".json.partial"
LONGEST = 240
INT32 = 2**31 - 1
HIGHEST_RANK = 2**14  # about the width of the widest layers
FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Kind:
    """What stands behind the type in Annotated: how a value is read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def read(self, value: Any) -> Any:
        """The value, converted. Raises ValueError, which says what it must be."""
        raise NotImplementedError


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number in a range; 1e3 is 1000, true is none."""

    least: int = 1
    most: int = INT32

    def read(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if self.least <= value <= self.most:
                return value
            if value > self.most or self.most < INT32:
                raise ValueError(f"give a whole number from {self.least} to {self.most}")
        above = "above 0" if self.least == 1 else f"of {self.least} or more"
        raise ValueError(f"give a whole number {above}")


@dataclass(frozen=True)
class Number(Kind):
    """A finite number that `holds` takes; true is none.

    However it is written, 1, 1.0 and 1e0 make one run id: 1.0 `as_float`, else 1.
    """

    holds: Callable[[float], bool]
    words: str
    as_float: bool = False

    def read(self, value: Any) -> int | float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not self.holds(value):
            raise ValueError(f"give a finite number {self.words}")
        if self.as_float:
            return float(value)
        return int(value) if float(value).is_integer() else value


@dataclass(frozen=True)
class OnOff(Kind):
    """true or false, also as yes, no, on, off; or one of some other words."""

    others: tuple[str, ...] = ()

    def read(self, value: Any) -> bool | str:
        if isinstance(value, bool) or value in self.others:
            return value
        if isinstance(value, str) and value.lower() in FLAGS:
            return FLAGS[value.lower()]
        raise ValueError(f"give {', '.join((*self.others, 'true'))} or false")


@dataclass(frozen=True)
class OneOf(Kind):
    """One of some words. A Literal says the same where the words are known to the type."""

    words: Collection[str]

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(f"use one of {', '.join(self.words)}")
        return value


@dataclass(frozen=True)
class Text(Kind):
    """Text as it was typed, though it may look like a number."""

    what: str = "text"

    def read(self, value: Any) -> str:
        if isinstance(value, str) and not _is_utf8(value):
            raise ValueError(f"give {self.what} in UTF-8")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # in a file, without quotes
        if not isinstance(value, str):
            raise ValueError(f"give {self.what}")
        if not value.strip():
            raise ValueError(f"is empty, as an unset shell variable leaves it; give {self.what}")
        return value


class PathText(Text):
    """A path: no part of it is longer than a file's name can be."""

    def read(self, value: Any) -> str:
        text = super().read(value)
        if "\0" in text or any(len(os.fsencode(part)) > LONGEST for part in text.split("/")):
            raise ValueError(f"has a name of more than {LONGEST} bytes; give a shorter path")
        if text.startswith("~"):
            raise ValueError("only the shell knows what ~ stands for; write $HOME")
        return text


class NameText(Text):
    """A name, which becomes part of a path."""

    def read(self, value: Any) -> str:
        text = super().read(value)
        if not is_name(text):
            raise ValueError(
                "becomes part of a path; give a name without separators, '..' or a dot at its start"
            )
        if len(os.fsencode(text)) > LONGEST:
            raise ValueError(f"becomes part of a file's name; give at most {LONGEST} bytes")
        return text


def _is_utf8(text: str) -> bool:
    """Whether it can be written: the shell hands on any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Several(Kind):
    """A list of what another kind reads, so long at least; without brackets too where `one`."""

    of: Kind
    one: bool = False
    least: int = 1

    def read(self, value: Any) -> Any:
        if self.one and not isinstance(value, list):
            return self.of.read(value)
        if not isinstance(value, list) or len(value) < self.least:
            raise ValueError("give a list with something in it, as [a,b]")
        try:
            return [self.of.read(each) for each in value]
        except ValueError as error:
            raise ValueError(f"in the list: {error}") from None


class ModuleNames(Kind):
    """Names of modules, or a regular expression of the whole name; all-linear is PEFT's word."""

    def read(self, value: Any) -> list[str] | str:
        if isinstance(value, str) and value:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(
                    f"not a regular expression ({error}); give names as [q_proj,v_proj]"
                ) from None
            return value
        names = value if isinstance(value, list) else []
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(
                "give names of modules as [q_proj,v_proj], a regular expression or all-linear"
            )
        return names


SEED = Whole(0, 2**32 - 1)
Count = Annotated[int, Whole()]
CountOrZero = Annotated[int, Whole(0)]
Seed = Annotated[int, SEED]
Seeds = Annotated[list[int], Several(SEED)]
Rank = Annotated[int, Whole(1, HIGHEST_RANK)]
# far from where fp32 overflows
Positive = Annotated[float, Number(lambda x: 0 < x <= 1e12, "above 0, at most 1e12")]
PositiveFloat = Annotated[float, Number(lambda x: 0 < x <= 1e12, "above 0, at most 1e12", True)]
FloatOrZero = Annotated[float, Number(lambda x: 0 <= x <= 1e12, "from 0 to 1e12", True)]
Dropout = Annotated[float, Number(lambda x: 0 <= x < 1, "from 0 to below 1", True)]
Share = Annotated[float, Number(lambda x: 0 <= x <= 1, "from 0 to 1")]
Part = Annotated[float, Number(lambda x: 0 < x <= 1, "above 0, up to 1")]
Flag = Annotated[bool, OnOff()]
AnyText = Annotated[str, Text()]
Name = Annotated[str, NameText("a name")]
FilePath = Annotated[str, PathText("a path")]
FilePaths = Annotated[list[str], Several(PathText("a path"))]
Counts = Annotated[list[int], Several(Whole())]
Ranks = Annotated[list[int], Several(Whole(1, HIGHEST_RANK))]
Words = Annotated[list[str], Several(Text())]
Modules = Annotated[list[str] | str, ModuleNames()]
