import math

import pytest

from denselora.command_line.fields import (
    LONGEST,
    ModuleNames,
    NameText,
    Number,
    OneOf,
    OnOff,
    PathText,
    Several,
    Text,
    Whole,
)

POSITIVE = Number(lambda x: x > 0, "above 0")


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        (Whole(), 1e3, 1000),
        (Whole(0), 0, 0),
        (POSITIVE, 1, 1),
        (OnOff(), "No", False),
        (OnOff(), "on", True),
        (OnOff(("auto",)), "auto", "auto"),
        (Text(), 123, "123"),
        (Several(Text(), one=True), "a", "a"),
        (Several(Whole()), [1.0, 2], [1, 2]),
        (Several(Text(), least=0), [], []),
        (ModuleNames(), "all-linear", "all-linear"),
        (ModuleNames(), ["q_proj"], ["q_proj"]),
        (PathText("a path"), "a b/é,=", "a b/é,="),
    ],
)
def test_a_value_is_read_as_what_it_is(kind, given, read):
    assert repr(kind.read(given)) == repr(read)


@pytest.mark.parametrize("written", [2, 2.0])
def test_however_a_number_is_written_it_makes_one_id(written):
    assert repr(POSITIVE.read(written)) == "2"
    assert repr(Number(lambda x: x > 0, "above 0", as_float=True).read(written)) == "2.0"


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (Whole(), 2.5, "whole number above 0"),
        (Whole(), True, "whole number above 0"),
        (Whole(), "1", "whole number above 0"),
        (Whole(), math.inf, "whole number above 0"),
        (Whole(0), -1, "whole number of 0 or more"),
        (Whole(), 2**40, "from 1 to 2147483647"),
        (Whole(0, 9), 10, "from 0 to 9"),
        (POSITIVE, math.nan, "finite number above 0"),
        (POSITIVE, math.inf, "finite number above 0"),
        (POSITIVE, "1", "finite number above 0"),
        (POSITIVE, False, "finite number above 0"),
        (OnOff(), 1, "give true or false"),
        (OnOff(("auto",)), "always", "give auto, true or false"),
        (OneOf(("a", "b")), "c", "use one of a, b"),
        (Text(), " ", "is empty, as an unset shell variable leaves it"),
        (Text(), 1.5, "give text"),
        (Text(), "a\udcff", "give text in UTF-8"),
        (Text(), None, "give text"),
        (Several(Text()), [], "with something in it"),
        (Several(Text()), "a", "give a list"),
        (Several(Whole()), [1, 0], "in the list: give a whole number"),
        (ModuleNames(), "[", "not a regular expression"),
        (ModuleNames(), [5], "give names of modules"),
        (ModuleNames(), [], "give names of modules"),
        (NameText("a name"), "../x", "becomes part of a path"),
        (NameText("a name"), "é" * LONGEST, f"at most {LONGEST} bytes"),
        (PathText("a path"), f"a/{'x' * 300}", f"more than {LONGEST} bytes"),
    ],
)
def test_what_it_cannot_be_is_said(kind, given, words):
    with pytest.raises(ValueError, match=words):
        kind.read(given)
