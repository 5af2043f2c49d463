"""docs/study.md as calls of reproduce.py."""

import pytest

from denselora.command_line.configs import composed
from denselora.errors import UserError
from denselora.reproduce import study as study_module
from denselora.reproduce.study import calls, study


def test_each_call_is_one_of_reproduce_and_the_grids_come_before_their_seeds():
    made = list(calls(["evaluation.limit=5"]))
    for call in made:
        for value in ("trainer.learning_rate=", "seed=", "experiment="):
            call = [one.split(",")[0] if one.startswith(value) else one for one in call]
        config = composed("reproduce", call)
        assert (config.model.name, config.protocol.name) == ("smollm2_135m", "clean")
        assert (config.trainer.epochs, config.data.n_train) == (3, 28000)
        assert config.evaluation is None or config.evaluation.limit == 5
    grids = [call for call in made if "evaluation=null" in call]
    assert len(grids) == len(study_module.PARTS)
    for grid in grids:
        _, *seeds = made[made.index(grid) : made.index(grid) + 3]
        assert all("tuned=true" in call and call[0] == grid[0] for call in seeds)
    assert "adapter=none" in made[0]
    with_tables = [n for n, call in enumerate(made) if not any("tables=false" in o for o in call)]
    assert [made[n] for n in with_tables] == [
        call for call in made if "evaluation=null" in call or "evaluation.scoring=generate" in call
    ]  # a grid alone makes none


def test_own_data_take_the_place_of_the_public_ones():
    for call in calls(["data=local", "data.path=/somewhere"]):
        assert "data=commonsense_170k" not in call and "data.n_train=28000" not in call


def test_a_mistake_is_found_before_the_first_run(monkeypatch):
    monkeypatch.setattr(study_module, "run_script", lambda *_: pytest.fail("runs"))
    with pytest.raises(UserError, match=r"nearest is data\.n_train"):
        study(["data.ntrain=5"])
