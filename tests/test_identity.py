import pytest

from denselora.errors import UserError
from denselora.identity import (
    PLACE,
    SEEDS,
    apart_from_seed,
    differences,
    dotted,
    is_name,
    run_id,
    same_but_for,
)
from denselora.results.record import read_records
from tests import ROOT

CONFIG = {
    "model": {"name": "tiny"},
    "adapter": {"name": "lora", "r": 4},
    "data": {"name": "local"},
    "protocol": {"name": "clean"},
    "trainer": {"learning_rate": 0.1, "betas": [0.9, 0.999], "extra": {}},
    "seed": 1,
    "seed_init": 1,
    "seed_data": 7,
    **dict.fromkeys(PLACE),
}


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "..", ".hidden", "", "a\nb", "${oc.env:HF_TOKEN}", "/x"]
)
def test_what_leads_elsewhere_is_no_name_and_makes_no_run_id(name):
    assert not is_name(name)
    for group in ("model", "adapter", "data", "protocol"):
        with pytest.raises(UserError, match=rf"{group}\.name=.*becomes part of a path"):
            run_id(CONFIG | {group: CONFIG[group] | {"name": name}})
    if name:
        with pytest.raises(UserError, match=r"adapter\.r="):
            run_id(CONFIG | {"adapter": {"name": "lora", "r": name}})
    with pytest.raises(UserError, match="seed="):
        run_id(CONFIG | {"seed": name})


def test_usual_names_are_names():
    assert all(map(is_name, ["llama3_2-1b", "Meta-Llama-3.1", "my adapter (2)", 8, "größe"]))


def test_the_place_is_no_part_of_a_run():
    moved = CONFIG | {"output_dir": "elsewhere", "resume": True, "tracker": "wandb"}
    assert run_id(moved) == run_id(CONFIG)
    assert differences(CONFIG, moved) == []
    assert apart_from_seed(moved) == apart_from_seed(CONFIG)


def test_an_option_that_came_later_is_no_part_of_a_run_that_does_what_runs_before_did():
    auto, never = (
        CONFIG | {"trainer": CONFIG["trainer"] | {"fused": m}} for m in ("auto", "never")
    )
    assert run_id(auto) == run_id(CONFIG) != run_id(never)
    assert differences(auto, CONFIG) == [] and differences(CONFIG, never) == ["trainer.fused"]
    assert apart_from_seed(auto) == apart_from_seed(CONFIG)


def test_options_have_their_names_of_the_command_line():
    assert dotted(CONFIG["trainer"], "trainer.") == {
        "trainer.learning_rate": 0.1,
        "trainer.betas": [0.9, 0.999],
        "trainer.extra": {},
    }


def test_runs_differ_in_what_has_another_value_and_in_what_only_one_has():
    other = CONFIG | {"trainer": {"learning_rate": 0.2, "betas": [0.9, 0.999]}, "new": None}
    assert differences(CONFIG, other) == ["new", "trainer.extra", "trainer.learning_rate"]
    assert run_id(CONFIG) != run_id(other)


def test_runs_are_the_same_but_for_the_options_that_may_differ():
    other = CONFIG | {"seed": 2, "seed_init": 2}
    assert same_but_for(CONFIG, other, SEEDS)
    assert same_but_for(CONFIG, CONFIG, ())
    assert not same_but_for(CONFIG, other, ("seed",))


def test_only_a_seed_of_its_own_is_part_of_the_setting():
    seeds = {name: value for name, value in apart_from_seed(CONFIG).items() if name in SEEDS}
    assert seeds == {"seed_data": 7}


def test_the_records_have_the_ids_of_their_configs():
    """Whatever runs were started before are found again."""
    records = [record for record in read_records(ROOT / "results") if record.config]
    assert records
    assert all(record.run_id.startswith(run_id(record.config)) for record in records)
