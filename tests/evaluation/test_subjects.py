"""Which model, data and protocol an adapter is scored under."""

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from denselora.command_line.configs import composed
from denselora.errors import UserError
from denselora.evaluation.subjects import follow
from denselora.identity import run_id
from denselora.training.run import train
from tests.evaluation.calls import evaluate
from tests.training.inputs import train_config, write_inputs
from tests.training.trained import make_trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a checkpoint before its last, under another protocol than the default."""
    folder = tmp_path_factory.mktemp("run")
    write_inputs(folder)
    (folder / "data" / "boolq").mkdir()
    shutil.copy(folder / "data/train.json", folder / "data/boolq/test.json")
    train(
        train_config(
            folder, "protocol=paper", "adapter=lora", "adapter.r=4", f"output_dir={folder / 'out'}"
        )
    )
    return folder / "out"


SHORT = ["tasks=[boolq]", "limit=2", "scoring=choice"]


def test_a_checkpoint_is_scored_under_its_runs_config(run, tmp_path):
    checkpoint = run / "checkpoints" / "step-000004"
    (record,), failures = evaluate(
        *SHORT, f"adapter_path={checkpoint}", f"output_dir={tmp_path}/out"
    )
    (ended,), _ = evaluate(*SHORT, f"adapter_path={run}/adapter", f"output_dir={tmp_path}/end")
    assert not failures
    assert record.protocol == ended.protocol and record.protocol.name == "paper"
    assert record.data.name == "local" and record.model == ended.model
    name = run_id(ended.config)
    assert (record.run_id, ended.run_id) == (
        f"{name}-step-000004-choice-limit2",
        f"{name}-choice-limit2",
    )


@pytest.mark.parametrize("left_out", ["model", "data", "protocol"])
def test_an_adapter_without_training_json_needs_model_data_and_protocol(run, tmp_path, left_out):
    adapter = shutil.copytree(run / "adapter", tmp_path / "adapter")
    (adapter / "training.json").unlink()
    named = {
        "model": [f"model.path={run.parent}/base"],
        "data": ["data=local"],
        "protocol": ["protocol=paper"],
    }
    where = [
        f"data.path={run.parent}/data",
        f"adapter_path={adapter}",
        f"output_dir={tmp_path}/out",
    ]
    given = [option for key, options in named.items() if key != left_out for option in options]
    with pytest.raises(UserError, match=rf"has no training.json.*; name {left_out}=$"):
        evaluate(*SHORT, *where, *given)
    assert not (tmp_path / "out").exists()
    (record,), failures = evaluate(*SHORT, *where, *given, *named[left_out])
    assert not failures and record.protocol.name == "paper"


def followed(change, *overrides):
    """The config of an evaluation whose training had `change` in its config."""
    config = OmegaConf.to_container(composed("train", ["model=mini"]), resolve=True)
    for name, value in change.items():
        group, key = name.split(".")
        config[group][key] = value
    cfg = composed("evaluate", list(overrides))
    return follow(cfg, [Path("adapter")], [make_trained(config)], overrides)


def test_what_a_training_left_is_not_interpolated(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    config = followed({"model.label": "${oc.env:HF_TOKEN}", "data.label": r"\\${seed}"})
    assert config["model"]["label"] == "${oc.env:HF_TOKEN}"
    assert config["data"]["label"] == r"\\${seed}"
    named = followed({"model.label": "${oc.env:HF_TOKEN}"}, "model.path=/a")
    assert named["model"]["label"] == "${oc.env:HF_TOKEN}" and named["model"]["path"] == "/a"


def test_the_command_line_may_name_one_option_of_a_group(monkeypatch):
    monkeypatch.setenv("HERE", "/data")
    overrides = ["data.path=${oc.env:HERE}", "protocol.decoding.max_new_tokens=12"]
    config = followed({"data.label": "of the training"}, *overrides)
    assert config["data"]["path"] == "/data" and config["data"]["label"] == "of the training"
    assert config["protocol"]["decoding"]["max_new_tokens"] == 12
    assert config["protocol"]["decoding"]["num_beams"] == 1
    assert followed({"data.suite": "math"}, "data.suite=null")["data"]["suite"] is None


@pytest.mark.parametrize("group", ["model", "data", "protocol"])
def test_a_name_of_a_training_that_leads_elsewhere_is_refused(group):
    with pytest.raises(UserError, match=rf"{group}\.name='\.\./x': becomes part of a path"):
        followed({f"{group}.name": "../x"})
