from typing import Annotated, Any, Literal

import pytest
from omegaconf import OmegaConf

from denselora.command_line.fields import Count, Flag, Positive, Text, options
from denselora.command_line.options import accepted, checked, declared_at, kind_of, names, unknown
from denselora.errors import UserError


@options
class Inner:
    rate: Positive
    way: Literal["a", "b"] | None


@options
class Outer:
    inner: Inner
    n: Count
    path: Annotated[str, Text("a path")] | None
    on: Flag
    rest: dict[str, Any]


GIVEN = {
    "inner": {"rate": 1, "way": None},
    "n": 2,
    "path": None,
    "on": True,
    "rest": {"any": {"thing": 1}},
}


def line(**changes) -> str:
    with pytest.raises(UserError) as error:
        checked(Outer, GIVEN | changes)
    return str(error.value)


def test_the_first_fault_is_named_with_its_option_and_value():
    assert line(n=0, on="x") == "n=0: give a whole number above 0"
    assert (
        line(inner={"rate": "fast", "way": "a"})
        == "inner.rate=fast: give a finite number above 0, at most 1e12"
    )


def test_an_option_that_may_be_null_says_so():
    assert line(path="") == (
        "path=: is empty, as an unset shell variable leaves it; give a path, or null"
    )
    assert line(inner={"rate": 1, "way": "c"}) == "inner.way=c: use one of a, b, or null"
    assert line(n=None) == "n=null: give a whole number above 0"


def test_a_value_is_shown_on_one_short_line():
    assert line(n="a\nb").startswith("n='a\\nb': ")
    assert len(line(n="x" * 10_000)) < 300
    assert line(n=[1, None, True]).startswith("n=[1,null,true]: ")


def test_what_is_missing_or_unknown_is_named():
    assert line(inner=3).startswith("inner=3: give a mapping")
    assert line(nn=3) == "nn: there is no such option; the nearest is n"
    with pytest.raises(UserError, match=r"^n is missing"):
        checked(Outer, {key: value for key, value in GIVEN.items() if key != "n"})


def test_a_group_has_its_name_before_its_options():
    with pytest.raises(UserError, match=r"^inner\.rate=0: give"):
        checked(Inner, {"rate": 0, "way": None}, "inner")


def test_the_config_gets_the_values_as_they_are_read_and_keeps_its_interpolations():
    cfg = OmegaConf.create(GIVEN | {"n": 3.0, "on": "off", "path": 123})
    cfg.inner.rate = "${n}"
    done = accepted(cfg, Outer)
    assert repr(done.n) == "3" and done.on is False and done.path == "123"
    assert OmegaConf.is_interpolation(done.inner, "rate") and repr(done.inner.rate) == "3"
    assert done.rest.any.thing == 1


def test_an_option_without_a_value_is_named():
    with pytest.raises(UserError, match=r"^inner\.rate is not set; add inner\.rate=VALUE"):
        accepted(OmegaConf.create(GIVEN | {"inner": {"rate": "???", "way": None}}), Outer)


def test_options_have_dotted_names():
    assert names(Outer) == ["inner", "inner.rate", "inner.way", "n", "path", "on", "rest"]
    assert isinstance(kind_of(declared_at(Outer, "path")), Text)
    assert declared_at(Outer, "rest.any.thing") == dict[str, Any]
    assert declared_at(Outer, "inner.weight") is None


def test_the_nearest_option_is_one_with_a_like_name_in_any_group():
    known = ["trainer", "trainer.learning_rate", "seed"]
    assert str(unknown("learning_rat", known)).endswith("nearest is trainer.learning_rate")
    assert str(unknown("trainr.seeed", known)).endswith("nearest is seed")
    assert str(unknown("beta", known)).endswith("configs/ has them all")
