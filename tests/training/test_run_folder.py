import dataclasses
import json

import pytest

from denselora.errors import UserError
from denselora.training.run_folder import TRAINING, read_trained, write_trained
from tests.training.trained import make_trained


def test_it_reads_back_as_written(tmp_path):
    trained = make_trained()
    write_trained(tmp_path / "adapter", trained)
    assert read_trained(tmp_path / "adapter") == trained


def test_an_adapter_of_other_code_has_none(tmp_path):
    assert read_trained(tmp_path) is None


def test_a_file_that_names_its_files_is_read_too(tmp_path):
    """As they were written before runs/NAME alone said where they lie."""
    write_trained(tmp_path, make_trained(metrics_file="runs/a/metrics.jsonl"))
    assert read_trained(tmp_path).training.metrics_file == "runs/a/metrics.jsonl"


@pytest.mark.parametrize("key", ["method", "training"])
def test_a_file_of_another_version_is_named_with_its_key(tmp_path, key):
    write_trained(tmp_path, make_trained())
    file = tmp_path / TRAINING
    content = json.loads(file.read_text())
    del content[key]
    file.write_text(json.dumps(content))
    with pytest.raises(
        UserError, match=rf"training\.json: .*\({key}: Field required\).*train again"
    ):
        read_trained(tmp_path)


@pytest.mark.parametrize("run_id", ["../../x", "a/b", "/x", ".hidden", ""])
def test_a_run_id_that_leads_to_another_folder_is_refused(tmp_path, run_id):
    write_trained(tmp_path, dataclasses.replace(make_trained(), run_id=run_id))
    with pytest.raises(UserError, match=r"training\.json: run_id=.*becomes part of a path"):
        read_trained(tmp_path)


def test_a_damaged_file_is_one_line_that_names_it(tmp_path):
    (tmp_path / TRAINING).write_text('{"run_id": "a"')
    with pytest.raises(
        UserError, match=r"training\.json: .*Invalid JSON.*line 1.*train again"
    ) as e:
        read_trained(tmp_path)
    assert "\n" not in str(e.value)
