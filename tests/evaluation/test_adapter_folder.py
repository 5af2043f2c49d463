"""An adapter's folder, as an evaluation reads it."""

import json
from pathlib import Path
from types import SimpleNamespace

import peft
import pytest

from denselora.errors import UserError
from denselora.evaluation import adapter_folder
from denselora.evaluation.adapter_folder import adapter_config, training_config
from denselora.weight_files import BINS, MODEL, weights_hash


@pytest.mark.parametrize("name", [*BINS, MODEL])
def test_the_hash_follows_the_weights_whatever_their_file(tmp_path, name):
    found = set()
    for content in (b"", b"one", b"other"):
        (tmp_path / name).write_bytes(content)
        found.add(weights_hash(tmp_path))
    assert len(found) == 3


def test_a_folder_below_the_root_is_no_runs():
    assert training_config(Path("/adapter"), None) is None


@pytest.mark.parametrize("module", ["my_method", "not_there"])
def test_a_method_of_ones_own_is_known_once_its_module_is_imported(tmp_path, monkeypatch, module):
    monkeypatch.setattr(peft, "PEFT_TYPE_TO_CONFIG_MAPPING", {**peft.PEFT_TYPE_TO_CONFIG_MAPPING})
    registered = "import peft\npeft.PEFT_TYPE_TO_CONFIG_MAPPING['MINE'] = peft.LoraConfig\n"
    (tmp_path / "my_method.py").write_text(registered)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "MINE"}))
    trained = SimpleNamespace(config={"adapter": {"peft": {"_target_": f"{module}.MineConfig"}}})
    monkeypatch.setattr(adapter_folder, "read_trained", lambda folder: trained)
    with pytest.raises(UserError) as error:
        adapter_config(tmp_path)
    # which this registration is too short for
    assert ("none that this PEFT reads" in str(error.value)) == (module == "my_method")
