"""What a record says, and that it can be written is known before anything is answered."""

import shutil

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from denselora.errors import UserError
from denselora.evaluation import run
from denselora.training.run import train
from tests.evaluation.calls import evaluate
from tests.tiny import write_model
from tests.training.inputs import train_config, write_inputs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["limit=inf"], "limit=inf: give a whole number above 0, or null"),
        (["limit=few"], "limit=few: give a whole number"),
        (["batch_tokens=1.5"], "batch_tokens=1.5: give a whole number"),
        (["model.label=null"], r"model\.label=null: give text"),
        (["data.label=null"], r"data\.label=null: give text"),
        (["data.suite=riddles"], r"data\.suite=riddles: use one of commonsense, math"),
        (["data.suite=math", "tasks=[boolq]"], r"boolq is not in the suite data\.suite=math"),
    ],
)
def test_what_no_record_could_hold_is_refused_before_the_base_is_read(
    base_folder, rows_folder, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr(run, "Base", None)
    where = [f"model.path={base_folder}", "data=local", f"data.path={rows_folder}", "tasks=[boolq]"]
    with pytest.raises(UserError, match=message):
        evaluate(*where, f"output_dir={tmp_path}/out", *options)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    (folder / "data" / "boolq").mkdir()
    shutil.copy(folder / "data/train.json", folder / "data/boolq/test.json")
    return folder


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        (
            "all-linear",
            {*("q_proj", "k_proj", "v_proj", "o_proj"), "gate_proj", "up_proj", "down_proj"},
        ),
        (r"'.*\.layers\.0\..*\.[qk]_proj'", {"q_proj", "k_proj"}),
    ],
)
def test_a_pattern_of_modules_is_recorded_as_the_modules_that_it_found(
    inputs, tmp_path, modules, found
):
    options = [
        "adapter=lora",
        "adapter.r=4",
        f"adapter.target_modules={modules}",
        "trainer.max_steps=1",
    ]
    options += ["trainer.warmup_steps=0"]
    adapter = train(train_config(inputs, *options, f"output_dir={tmp_path}/run"))
    (record,), failures = evaluate(
        *(f"adapter_path={adapter}", "tasks=[boolq]", "limit=2", "scoring=choice"),
        f"output_dir={tmp_path}/out",
    )
    assert not failures and set(record.method.target_modules) == found


@pytest.mark.parametrize("label", ["adapter.label=null", "model.label=null", "data.label=null"])
def test_training_refuses_what_no_record_could_hold(inputs, tmp_path, label):
    with pytest.raises(UserError, match=r"label=null: give text"):
        train(train_config(inputs, label, f"output_dir={tmp_path}/run"))
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("biased"), attention_bias=True)


@pytest.mark.parametrize(
    "more",
    [
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [1, 2, 3]},
        {"bias": "all"},
        {"bias": "lora_only"},
        {},
    ],
)
def test_all_that_an_adapter_trained_is_counted(biased, rows_folder, tmp_path, more):
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, **more)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(biased), config)
    trainable, total = model.get_nb_trainable_parameters()
    model.save_pretrained(tmp_path / "adapter")
    (record,), failures = evaluate(
        *(f"model.path={biased}", "data=local", f"data.path={rows_folder}"),
        *("protocol=clean", "tasks=[boolq]", "limit=1", "scoring=choice"),
        *(f"adapter_path={tmp_path}/adapter", f"output_dir={tmp_path}/out"),
    )
    assert not failures
    assert (record.method.trainable, record.method.total) == (trainable, total)
