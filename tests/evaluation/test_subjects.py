"""Which model, data and protocol an adapter is scored under."""

import shutil

import pytest

from denselora.errors import UserError
from denselora.identity import run_id
from denselora.training.run import train
from tests.evaluation.calls import evaluate
from tests.training.inputs import train_config, write_inputs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a checkpoint before its last, under another protocol than the default."""
    folder = tmp_path_factory.mktemp("run")
    write_inputs(folder)
    (folder / "data" / "boolq").mkdir()
    shutil.copy(folder / "data/train.json", folder / "data/boolq/test.json")
    train(train_config(folder, "protocol=paper", "adapter=lora", f"output_dir={folder / 'out'}"))
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
