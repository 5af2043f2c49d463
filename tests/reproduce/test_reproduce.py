"""scripts/reproduce.py as a whole, and what it does without running anything twice."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from denselora.command_line.configs import composed
from denselora.reproduce import announce
from denselora.reproduce import estimate as estimate_module
from denselora.reproduce import point as point_module
from denselora.reproduce.estimate import estimate
from denselora.reproduce.states import claimed
from denselora.results.record import read_records
from denselora.training.run_folder import write_trained
from tests.training.trained import make_trained


def test_a_run_is_announced_run_recorded_and_not_done_twice(call, ran, folders, monkeypatch):
    code, out, err = call("adapter=lora")
    assert code == 0, err
    assert "1 runs: 1 missing" in out and "estimates for one H100" in out
    (record,) = read_records(folders.results)
    assert (record.method.name, record.evaluation.limit) == ("lora", 1)
    assert (folders.results / "tables/commonsense.md").is_file()
    (trained,) = folders.runs.glob("*/adapter/training.json")
    assert json.loads(trained.read_text())["run_id"] == trained.parents[1].name

    ran.clear()  # from here on tables and report are named, not made
    monkeypatch.setattr(announce, "run_script", lambda name, *_, **__: ran.append(name))
    code, out, err = call("adapter=lora")
    assert code == 0 and "1 runs: 1 done" in out
    assert ran == ["tables.py", "report.py"]
    ran.clear()
    code, out, err = call("adapter=lora", "hydra.callbacks.plan.tables=false")
    assert code == 0 and "1 runs: 1 done" in out and not ran

    shutil.rmtree(folders.results / "runs")  # as a kill between recording and publishing left it
    code, out, err = call("adapter=lora")
    assert code == 0 and "1 runs: 1 trained" in out
    assert [one.run_id for one in read_records(folders.results)] == [record.run_id]


def test_runs_that_are_only_trained_leave_their_validation_losses(call, ran, folders):
    grid = ("adapter=lora", "trainer.learning_rate=1e-3,1e-2", "evaluation=null")
    code, out, err = call(*grid)
    assert code == 0, err
    assert ran == ["train.py", "train.py"] and not list(folders.runs.glob("*/evaluation*"))
    table = pd.read_csv(folders.results / "grids.csv")
    assert list(table["learning_rate"]) == [1e-3, 1e-2] and list(table["method"]) == ["LoRA"] * 2
    for run, loss in zip(table["run_id"], table["validation_loss_nats"], strict=True):
        trained = json.loads((folders.runs / run / "adapter/training.json").read_text())
        assert trained["training"]["validation_loss_nats"] == loss
        assert f"{loss:.4f}" in out
    ran.clear()
    first = (folders.results / "grids.csv").read_bytes()
    code, out, err = call(*grid)
    assert code == 0 and "2 runs: 2 done" in out and not ran
    assert (folders.results / "grids.csv").read_bytes() == first


def test_a_plan_of_no_steps_runs_and_notes_nothing(call, ran, folders):
    code, _, err = call("adapter=lora,none", "trainer.max_steps=0")
    assert code == 0, err
    assert ran == ["train.py"] and not [*folders.results.iterdir()]
    assert [file.name for file in folders.runs.iterdir()] == ["multirun.yaml"]  # Hydra's own


def test_a_run_that_diverged_is_not_repeated(call, ran, compose, folders):
    run = compose("adapter=lora")
    write_trained(run.folder, make_trained(collapsed="loss is nan"))
    code, out, err = call("adapter=lora")
    assert code == 0, err
    assert "1 diverged" in out and "delete the folder" in out
    assert ran == ["tables.py", "report.py"]


def test_one_run_that_fails_keeps_no_other_from_running(call, monkeypatch, folders):
    steps = []

    def run_script(name, *options, **_):
        steps.append((name, options))
        if "seed=1" in options:
            raise point_module.UserError("no memory")

    monkeypatch.setattr(point_module, "run_script", run_script)
    code, _, err = call("seed=1,2")
    assert code == 2 and "error: no memory" in err and "Traceback" not in err
    assert [("seed=1" in options, "seed=2" in options) for _, options in steps] == [
        (True, False), (False, True), (False, False),
    ]  # fmt: skip
    notes = {
        file.stem[-11:-9]: json.loads(file.read_text()) for file in folders.runs.glob("*.json")
    }
    assert notes["s1"]["state"] == "failed" and notes["s1"]["reason"] == "no memory"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gpu=TPU", "gpu=TPU: estimates are for one of RTX3090"),
        ("model.path=/nowhere/at/all", "no such folder"),
        ("data.path=/nowhere/at/all", "no such file"),
        ("experiment=table9", "table9"),
        (
            "experiment=table1/base,table1/vera trainer.learning_rat=1",
            "nearest is trainer.learning_rate",
        ),
        ("hydra/sweeper=ax", "pip install -e '.[sweeps]'"),
        ("tuned=true", "run experiment=learning_rate"),
        ("tuned=true trainer.learning_rate=1e-3,3e-3", "tuned=true chooses trainer.learning_rate"),
        (
            "experiment=rank,budget/share_0_025/lora",
            "experiment=rank: has values of its own for adapter, adapter.r",
        ),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(call, ran, folders, given, message):
    code, _, err = call(*given.split())
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in err
    assert not ran and not folders.runs.exists()


def test_a_grid_is_one_run_a_seed_once_its_rate_is_chosen(call, monkeypatch, folders, compose):
    trainings = []

    def run_script(name, *given, **_):
        trainings.extend([given] if name == "train.py" else [])

    for module in (point_module, announce):
        monkeypatch.setattr(module, "run_script", run_script)
    grid = compose("adapter=lora", "trainer.learning_rate=3e-4")
    trained = make_trained(grid.config, validation_loss_nats=1.0)
    write_trained(folders.runs / "a" / "adapter", trained)
    several = "experiment=budget/share_0_025/lora,budget/share_0_025/dora"
    for experiment, flag in (("experiment=learning_rate", "true"), (several, "yes")):
        runs = 2
        same = ("adapter=lora", "adapter.r=32", "adapter.alpha=64", "seed=1,2", f"tuned={flag}")
        _, out, err = call(experiment, *same)
        assert f"{runs} runs: {runs} missing" in out, err
        # the two experiments are the same here, as Hydra doesn't know
        assert len(trainings) == (runs if experiment != several else 2 * runs)
        assert all("trainer.learning_rate=0.0003" in given for given in trainings)
        trainings.clear()


def test_a_trained_run_has_its_evaluations_hours_left(compose):
    whole = estimate(compose("adapter=lora"), "H100")
    assert whole.training_hours > 0 and whole.evaluation_hours > 0
    assert whole.hours_left("trained") == whole.evaluation_hours
    assert whole.hours_left("stopped") == whole.hours
    assert estimate(compose("adapter=lora", "evaluation=null"), "H100").evaluation_hours == 0


def test_the_plain_base_is_evaluated_once_for_all_seeds(compose):
    base = compose("adapter=none")
    same = compose("adapter=none", "seed=7", "trainer.epochs=2")
    assert same.folder == base.folder
    assert compose("adapter=none", "data.label=Other").folder != base.folder
    assert compose("adapter=lora", "seed=7").folder != compose("adapter=lora").folder


def test_a_run_whose_evaluation_failed_is_trained(compose):
    run, only = compose("adapter=lora"), compose("adapter=lora", "evaluation=null")
    write_trained(run.folder / "adapter", make_trained(run.config))
    with claimed(run.folder, run.options) as note:
        note("failed", "no memory")
    assert (run.state, only.state) == ("trained", "done")


def test_the_plain_base_needs_no_training_file(compose):
    base = estimate(compose("adapter=none", "data.train_file=nowhere.json"), "H100")
    assert base.training_hours == 0 < base.evaluation_hours


def test_a_plan_that_no_gpu_of_the_name_holds_says_so(call, monkeypatch, folders):
    monkeypatch.setitem(estimate_module.GPUS, "A100", (312, 0))
    for module in (point_module, announce):
        monkeypatch.setattr(module, "run_script", lambda *_, **__: None)
    _, out, _ = call("gpu=A100")
    assert "More than one A100 holds" in out


def test_a_plan_names_the_modules_that_tell_its_runs_apart(call, monkeypatch):
    for module in (point_module, announce):
        monkeypatch.setattr(module, "run_script", lambda *_, **__: None)
    _, out, _ = call("adapter.target_modules=[q_proj],[up_proj,down_proj]")
    assert "adapter.target_modules=[q_proj] " in out
    assert "adapter.target_modules=[up_proj,down_proj] " in out


def test_folders_reach_the_scripts_whatever_they_are_called(call, monkeypatch, tmp_path):
    steps = {}
    for module in (point_module, announce):
        monkeypatch.setattr(
            module, "run_script", lambda name, *given, **_: steps.update({name: given})
        )
    (tmp_path / "a,b").mkdir()
    call("adapter=lora", f"runs_dir={tmp_path}/é =[x]", f"results_dir='{tmp_path}/a,b'")
    given = [
        override
        for options in steps.values()
        for override in OverridesParser.create().parse_overrides(list(options))
    ]
    passed_on = {override.key_or_group: str(override.value()) for override in given}
    assert Path(passed_on["output_dir"]).is_relative_to(tmp_path / "é =[x]")
    assert Path(passed_on["adapter_path"]).is_relative_to(tmp_path / "é =[x]")
    assert passed_on["record_dir"] == f"{tmp_path}/a,b/runs"
    assert passed_on["results_dir"] == f"{tmp_path}/a,b"


def test_the_plain_base_is_evaluated_under_the_runs_quantization(call, monkeypatch):
    steps = {}
    for module in (point_module, announce):
        monkeypatch.setattr(
            module, "run_script", lambda name, *given, **_: steps.update({name: given})
        )
    call("adapter=none", "quantization=int8")
    assert "quantization=int8" in steps["evaluate.py"]


def test_the_plain_base_is_evaluated_as_its_config_says_whoever_set_it(compose):
    point = compose("adapter=none")
    config = deepcopy(point.config)
    config["protocol"]["decoding"]["num_beams"] = 2
    config["protocol"]["prompt"]["evaluate"] = "It's ${so}:\n{instruction} = 'a, b'"
    config["data"] |= {"name": "lab", "label": "a=b"}
    made = composed("evaluate", replace(point, config=config)._base())
    for group in ("model", "data", "protocol"):
        assert OmegaConf.to_container(made[group], resolve=True) == config[group]


def test_estimates_grow_with_rows_and_shrink_with_speed(compose):
    run = compose("trainer.max_steps=null", "data.n_train=8")
    whole = estimate(run, "H100")
    twice = compose("trainer.max_steps=null", "data.n_train=16")
    assert estimate(twice, "H100").hours > whole.hours
    assert estimate(run, "A100").hours == pytest.approx(whole.hours * 989 / 312)
    assert whole.method["trainable"] > 0 and whole.memory_gib > 0
    assert estimate(compose("adapter=none"), "H100").method["trainable"] == 0


def test_an_evaluation_of_other_rows_has_a_folder_of_its_own(compose):
    plain, limited = compose(), compose("evaluation.limit=5", "evaluation.scoring=choice")
    assert plain.folder == limited.folder
    assert limited.evaluation_folder.name == "evaluation-choice-limit5"
    assert limited.options == plain.options


def test_runs_by_joblib_side_by_side(call, folders):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    code, _, err = call("hydra/launcher=joblib_gpus", "adapter=none", "protocol=clean,paper")
    assert code == 0, err
    assert len(read_records(folders.results)) == 2
