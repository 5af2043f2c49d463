import shlex
from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from denselora.command_line.configs import CONFIGS, composed
from denselora.command_line.overrides import quoted, readable
from denselora.errors import UserError
from denselora.identity import run_id
from denselora.results.inventory import (
    check_inventory,
    inventory,
    options_of,
    sweeps,
    write_inventory,
)
from denselora.results.record import read_records
from denselora.training.options import Train
from tests.results.records import make_record

RESULTS = CONFIGS.parent / "results"


def trained(*overrides, **keys):
    """A record of a run with these options."""
    config = OmegaConf.to_container(composed("train", ["seed=3", *overrides]), resolve=True)
    record = make_record(config["adapter"]["name"], seed=3, limit=None, **keys)
    return replace(record, config=config, model=replace(record.model, name="mini"))


@pytest.fixture(scope="module")
def kept():
    return read_records(RESULTS)


def test_the_page_among_the_results_is_of_the_records_there(kept):
    assert (RESULTS / "README.md").read_text() == inventory(kept)


def test_options_make_the_run_that_they_are_of(kept):
    for record in kept[::9]:
        options = [f"{name}={value}" for name, value in options_of(record).items()]
        own = [option for option in options if not option.startswith("evaluation.")]
        if record.config:
            config = OmegaConf.to_container(composed("train", own), resolve=True)
            assert record.run_id.startswith(run_id(config)), own


def test_options_are_only_those_that_do_not_follow_from_others():
    asked = ("adapter.r=8", "trainer.learning_rate=0.002", "adapter.activation=relu")
    options = options_of(trained(*asked))
    groups = {"model": "mini", "data": "mini", "protocol": "clean", "adapter": "denselora"}
    assert options == groups | {"seed": "3"} | dict(option.split("=") for option in asked)


@pytest.mark.parametrize("r", [4, 16, 64])
def test_a_run_is_no_experiments_that_sets_another_value(r):
    record = trained(f"adapter.r={r}", "trainer.learning_rate=0.003")
    shares = {4: "0_01", 64: "0_05"}
    page = inventory([record])
    assert all((f"budget/share_{share}/" in page) == (r == at) for at, share in shares.items())


@pytest.mark.parametrize(
    "option",
    ["data.label='A, B'", "data.label='null'", "adapter.target_modules='.*(q|v)_proj'"],
)
def test_a_value_of_any_signs_comes_back(option):
    record = trained(option)
    options = [f"{name}={value}" for name, value in options_of(record).items()]
    again = composed("train", readable(options, Train, several=True))
    assert OmegaConf.select(again, option.partition("=")[0]) == option.split("'")[1]


@pytest.mark.parametrize(
    "option", ["+adapter.peft.bias=all", "+adapter.peft.rank_pattern.q_proj=4"]
)
def test_an_option_of_pefts_that_was_added_is_added_again(option):
    record = trained("adapter=lora", option)
    options = [f"{name}={value}" for name, value in options_of(record).items()]
    assert option in options
    again = composed("train", readable(options, Train, several=True))
    assert OmegaConf.to_container(again, resolve=True)["adapter"] == record.config["adapter"]


def test_a_value_that_would_follow_from_another_is_an_option_when_it_does_not():
    options = options_of(trained("adapter.r=8", "adapter.alpha=8", "adapter.dropout_at=[input]"))
    assert options["adapter.alpha"] == "8" and options["adapter.dropout_at"] == "[input]"


@pytest.mark.parametrize("value", ["${oc.env:HF_TOKEN}", r"\${seed}", r"\\${seed}"])
def test_what_a_record_holds_is_not_interpolated(value, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    record = trained("adapter.r=8")
    record.config["adapter"]["label"] = value
    assert options_of(record)["adapter.label"] == quoted(value)


def test_a_record_whose_names_lead_elsewhere_has_no_options():
    record = trained()
    record.config["model"]["name"] = "../../elsewhere"
    assert options_of(record) is None


def test_commands_are_few_and_give_each_run_once():
    def runs(seeds, ranks):
        return [{"adapter.r": r, "seed": s} for r in ranks for s in seeds]

    cut = sweeps(runs("1", ["4", "8", "16", "32"]) + runs("23", ["8", "4"]))
    assert cut == [
        {"adapter.r": ["4", "8"], "seed": ["1", "2", "3"]},
        {"adapter.r": ["16", "32"], "seed": ["1"]},
    ]


def test_runs_that_the_same_options_make_are_one():
    """They differ in what no option of the command names."""
    runs = [{"adapter": "lora", "seed": seed} for seed in ("1", "2", "2")]
    assert sweeps(runs) == [{"adapter": ["lora"], "seed": ["1", "2"]}]
    assert sweeps([{"adapter": "lora"}] * 2) == [{"adapter": ["lora"]}]


def test_a_readme_of_somebody_elses_is_not_written_over(tmp_path):
    check_inventory(tmp_path)
    (tmp_path / "README.md").write_text("# Mine")
    with pytest.raises(UserError, match=r"README\.md: not written by tables\.py"):
        check_inventory(tmp_path)
    (tmp_path / "README.md").unlink()
    write_inventory([], tmp_path)
    check_inventory(tmp_path)


def test_a_line_says_what_for_and_with_which_command():
    records = [trained(f"adapter.share={share}", run_id=share) for share in ("none", "shape")]
    (line,) = [line for line in inventory(records).splitlines() if "reproduce.py" in line]
    purpose, number, command = (cell.strip() for cell in line.strip("|").split("|"))
    assert purpose.startswith("Which layers share an encoder and decoder")
    assert number == "2"
    assert "adapter.share=none,shape" in shlex.split(command.strip("`"))


def test_runs_that_no_command_makes_are_counted():
    other_code = replace(make_record("lora"), config=None)
    other_model = trained(run_id="b")
    other_model.config["model"]["name"] = "mine"
    text = inventory([other_code, other_model])
    assert "2 runs, each" in text
    assert "| 2 | other configs, or `python scripts/evaluate.py` |" in text
