"""Each mistake ends in one line that names it, exit code 2, and nothing written."""

import json
import shutil

import pytest

from tests.tiny import write_model

SMALL = ["trainer.global_batch_size=4", "trainer.micro_batch_size=2", "trainer.max_steps=1",
         "trainer.validation_rows=0"]  # fmt: skip


@pytest.fixture
def error_of(script, tmp_path):
    """Runs a script that must fail, and returns its one line."""

    def run(name: str, *arguments: str) -> str:
        output = tmp_path / "output"
        code, _, err = script(name, f"output_dir={output}", *arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1 and "Traceback" not in err, err
        assert not output.exists()
        return lines[0]

    return run


@pytest.fixture
def train(error_of, model_folder, data_folder):
    def run(*arguments: str) -> str:
        return error_of(
            "train", f"model.path={model_folder}", "data=local", f"data.path={data_folder}",
            *SMALL, *arguments,
        )  # fmt: skip

    return run


@pytest.fixture
def evaluate(error_of, model_folder, data_folder):
    def run(*arguments: str) -> str:
        return error_of(
            "evaluate", f"model.path={model_folder}", "data=local", f"data.path={data_folder}",
            *arguments,
        )  # fmt: skip

    return run


def test_a_missing_data_folder(train, evaluate, tmp_path):
    assert "nowhere" in train(f"data.path={tmp_path}/nowhere")
    assert "nowhere" in evaluate(f"data.path={tmp_path}/nowhere")


def test_a_training_row_without_a_field(train, data_folder, tmp_path):
    rows = json.loads((data_folder / "train.json").read_text())
    del rows[4]["output"]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    message = train(f"data.path={tmp_path}")
    assert "row 5" in message and "'output'" in message and "train.json" in message


def test_malformed_json(train, evaluate, data_folder, tmp_path):
    text = (data_folder / "train.json").read_text().replace('"output"', "output", 1)
    (tmp_path / "train.json").write_text(text)
    assert "train.json: malformed JSON in row 1" in train(f"data.path={tmp_path}")
    (tmp_path / "boolq").mkdir()
    (tmp_path / "boolq" / "test.json").write_text(text)
    assert "test.json" in evaluate(f"data.path={tmp_path}", "tasks=[boolq]")


def test_an_unknown_benchmark(evaluate):
    assert "'squad'" in evaluate("tasks=[boolq,squad]")


@pytest.mark.parametrize("group", ["model", "data", "protocol", "adapter"])
def test_a_name_that_leads_out_of_the_folder(train, evaluate, group):
    message = f"error: {group}.name=../../x: becomes part of a path"
    assert message in train(f"{group}.name=../../x")
    if group != "adapter":
        assert message in evaluate(f"{group}.name=../../x")


def test_targets_that_match_nothing(train):
    assert "nothing_proj" in train("adapter.target_modules=[nothing_proj]")


@pytest.mark.parametrize("adapter", ["denselora", "lora", "dora", "vera", "lokr", "adalora"])
def test_one_target_of_several_that_matches_nothing(train, adapter):
    message = train(f"adapter={adapter}", "adapter.target_modules=[q_proj,k_porj,v_proj]")
    assert f"adapter={adapter}: target_modules: k_porj matches nothing" in message


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("modules_to_save", "[lm_haed]", "modules_to_save: lm_haed"),
        ("layers_to_transform", "[0,7]", "layers_to_transform: 7"),
        ("exclude_modules", "[gate_porj]", "exclude_modules: gate_porj"),
    ],
)
def test_modules_or_layers_that_match_nothing(train, field, value, named):
    assert f"{named} matches nothing" in train(f"+adapter.peft.{field}={value}")


@pytest.mark.parametrize("r", [0, -4])
@pytest.mark.parametrize("adapter", ["denselora", "lora"])
def test_a_rank_below_one(train, adapter, r):
    message = train(f"adapter={adapter}", f"adapter.r={r}")
    assert message == f"error: adapter.r={r}: give a whole number from 1 to 16384"


def test_a_rank_that_is_no_number(train):
    assert "adapter.r=x: give a whole number" in train("adapter=lora", "adapter.r=x")


def test_a_missing_adapter_folder(evaluate, tmp_path):
    assert "adapter_path=" in evaluate(f"adapter_path={tmp_path}/nowhere")
    (tmp_path / "empty").mkdir()
    assert "adapter_config.json" in evaluate(f"adapter_path={tmp_path}/empty")


def test_an_adapter_for_another_base(script, evaluate, model_folder, data_folder, tmp_path):
    code, _, err = script(
        "train", f"model.path={model_folder}", "data=local", f"data.path={data_folder}",
        *SMALL, "trainer.warmup_steps=0", f"output_dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert code == 0, err
    adapter = f"adapter_path={tmp_path / 'run' / 'adapter'}"
    for change in ({"seed": 1}, {"hidden_size": 48}):
        other = write_model(tmp_path / "other", **change)
        message = evaluate(adapter, "model=llama3_2_1b", f"model.path={other}")
        assert "made for another base" in message
        shutil.rmtree(other)


def test_an_output_folder_that_cannot_be_written(script, model_folder, data_folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    where = [f"model.path={model_folder}", "data=local", f"data.path={data_folder}"]
    for name in ("train", "evaluate"):
        code, _, err = script(name, *where, f"output_dir={tmp_path / 'file' / 'run'}")
        assert code == 2 and "output_dir=" in err and "Traceback" not in err


def test_nothing_to_train(train):
    assert "adapter=none" in train("adapter=none")


def test_an_unknown_option_or_choice(train):
    assert "trainer.steps" in train("trainer.steps=3")
    assert "adapter=prompt_tuning" in train("adapter=prompt_tuning")


def test_a_batch_that_does_not_divide(train):
    message = train("trainer.global_batch_size=6", "trainer.micro_batch_size=4")
    assert "trainer.global_batch_size=6 is not a multiple" in message
    assert "trainer.micro_batch_size=4 × 1 processes" in message


def test_an_existing_run_is_not_overwritten(script, model_folder, data_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    where = [f"model.path={model_folder}", "data=local", f"data.path={data_folder}"]
    code, _, err = script("train", *where, f"output_dir={tmp_path / 'run'}")
    assert code == 2 and "choose another folder" in err
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["notes.txt"]
