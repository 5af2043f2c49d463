"""The commands: figures shown, failures reported, predictions recounted."""

import json
import shutil

import pytest

from denselora.data.audit import audit, overlap_json
from tests.configs import read_protocol
from tests.evaluation.models import make_adapter
from tests.tiny import denselora_config


@pytest.fixture
def where(base_folder, rows_folder):
    return [
        *(f"model.path={base_folder}", "data=local", f"data.path={rows_folder}"),
        *("tasks=[boolq,piqa]", "limit=4", "protocol=clean", "protocol.decoding.max_new_tokens=8"),
    ]


def test_evaluate_shows_its_counts_and_recount_finds_them_again(script, where, tmp_path):
    out = tmp_path / "out"
    code, shown, err = script("evaluate", *where, "adapter=none", f"output_dir={out}")
    assert code == 0, err
    assert "unparsed" in shown and "ambiguous" in shown and "4 of 10" in shown
    code, again, err = script("recount", f"folders=[{out},{out}]")
    assert code == 0, err
    assert "100.0" in again
    lines = [line for line in shown.splitlines() if "BoolQ" in line and "4 of 10" in line]
    assert lines and lines[0] in again


def test_recount_leaves_out_test_rows_that_the_training_file_holds(
    script, base_folder, rows_folder, tmp_path
):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(rows_folder, data)
    rows = json.loads((data / "boolq" / "test.json").read_text())
    (data / "train.json").write_text(json.dumps(rows[:3]))
    (data / "overlap.json").write_text(overlap_json(audit(data, read_protocol("paper"))))
    where = [f"model.path={base_folder}", "data=local", f"data.path={data}", "tasks=[boolq]"]
    code, _, err = script(
        "evaluate", *where, "protocol.decoding.max_new_tokens=2", f"output_dir={out}"
    )
    assert code == 0, err
    code, shown, err = script("recount", f"folders=[{out}]", f"overlap={data / 'overlap.json'}")
    assert code == 0, err
    assert f"{len(rows) - 3} of {len(rows)}" in shown

    (data / "train.json").write_text(json.dumps(rows))
    (data / "overlap.json").write_text(overlap_json(audit(data, read_protocol("paper"))))
    code, _, err = script("recount", f"folders=[{out}]", f"overlap={data / 'overlap.json'}")
    assert code == 2 and f"holds all {len(rows)} evaluated rows of boolq" in err


def test_recount_of_no_evaluation_is_reported_in_one_line(script, tmp_path):
    code, _, err = script("recount", f"folders=[{tmp_path}]")
    assert code == 2 and err.strip().startswith("error: folders:")


def test_a_failed_adapter_ends_in_exit_code_2(script, where, base_folder, tmp_path):
    idle = make_adapter(base_folder, tmp_path / "idle", denselora_config())
    code, _, err = script("evaluate", *where, f"adapter_path={idle}", f"output_dir={tmp_path}/out")
    assert code == 2 and "changes nothing" in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()
