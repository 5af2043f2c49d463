from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from denselora.command_line.overrides import explained, quoted, readable
from denselora.errors import UserError
from denselora.evaluation.options import Evaluate
from denselora.reproduce.options import Reproduce
from denselora.training.options import Train


def value(argument: str, options: type = Train, several: bool = False) -> Any:
    """What Hydra makes of an argument."""
    (override,) = OverridesParser.create().parse_overrides(readable([argument], options, several))
    if override.is_choice_sweep():
        return [getattr(each, "text", each) for each in override.value().list]
    return override.value()


@pytest.mark.parametrize(
    "typed",
    [
        "123",
        "1e3",
        "0123",
        "1_000",
        "true",
        "nan",
        "runs/é",
        "a=b",
        "a, b",
        "[a]",
        "a'b",
        "#1",
    ],
)
def test_text_is_what_was_typed(typed):
    assert value(f"output_dir={typed}") == typed
    assert value(f"data.path={typed}") == typed


def test_a_null_an_empty_value_and_quotes_stay_what_they_are():
    assert value("output_dir=null") is None
    assert value("output_dir=") == ""
    assert value("output_dir='null'") == "null"
    assert value("output_dir=${oc.env:HOME}/x") == "${oc.env:HOME}/x"


def test_a_number_stays_a_number_where_one_is_wanted():
    assert value("seed=123") == 123


def test_each_of_several_values_is_text():
    assert value("data.path=1e3,b", Reproduce, several=True) == ["1e3", "b"]
    assert value("runs_dir=1e3", Reproduce, several=True) == "1e3"
    assert value("adapter_path=[1e3,b]", Evaluate) == ["1e3", "b"]
    assert value("adapter_path=123", Evaluate) == "123"


@pytest.mark.parametrize(
    "text", ["é, = [x] 'y' \"z\"", "a\\", "a\\'b", "${x}", "null", "1e3", "a\nb"]
)
def test_quoted_text_is_read_as_it_was(text):
    (override,) = OverridesParser.create().parse_overrides([f"x={quoted(text)}"])
    assert override.value() == text.replace("${", "\\${")  # which OmegaConf reads as ${


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("trainer.learning_rat=1", "trainer.learning_rat: there is no such option; the nearest is "
         "trainer.learning_rate"),
        ("++modell.path=x", "modell.path: there is no such option; the nearest is model.path"),
        ("~sede", "sede: there is no such option; the nearest is seed"),
        ("modl=mini", "modl: there is no such option; the nearest is model"),
        ("+trainer.epochs=3", "+trainer.epochs=3: write it without +"),
        ("++adapter.activation=silu", "++adapter.activation=silu: write it without +"),
        ("adapter=[lora,dora]", "adapter=[lora,dora]: choose one of adalora, "),
        ("model=", "model=: choose one of "),
        ("model=null", "model=null: choose one of "),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(argument, says):
    with pytest.raises(UserError) as error:
        readable([argument], Train, False)
    assert str(error.value).startswith(says)


@pytest.mark.parametrize(
    "argument",
    ["+adapter.peft.bias=all", "adapter.share=none", "experiment=table1/base", "hydra.verbose=true",
     "hydra/launcher=joblib_gpus", "model_trainer@trainer=mini", "--cfg", "job", "~seed"],
)  # fmt: skip
def test_what_is_hydras_or_an_option_is_left(argument):
    assert readable([argument], Train, False) == [argument]


def test_what_hydra_cannot_read_is_shown_in_quotes():
    with pytest.raises(HydraException) as error:
        OverridesParser.create().parse_overrides(["adapter.r=[é"])
    assert explained(error.value).endswith(": \"adapter.r='[é'\"")
    with pytest.raises(HydraException) as error:
        OverridesParser.create().parse_overrides(["foo"])
    assert explained(error.value) == "foo: can't be read; options are NAME=VALUE"
