"""What goes to PEFT's own comparison of methods."""

import json
import shutil

import pytest
import torch
from peft import PeftConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from denselora import DenseLoraConfig
from denselora.errors import UserError
from denselora.results.method_comparison import comparison_result
from denselora.results.record import read_record
from tests import ROOT
from tests.results.records import make_record

FOLDER = ROOT / "peft_method_comparison"
EXPERIMENTS = sorted((FOLDER / "experiments").glob("*/*"))
KEPT = {
    "denselora--mini-rank16": ("mini-denselora-r16-mini-clean-s44-4747fb29", "mini-denselora-r16"),
    "lora--mini-rank32": ("mini-lora-r32-mini-clean-s43-082c9330", "mini-lora-r32"),
}
# the keys of a result there, of July 2026
KEYS = {
    "run_info": "created_at total_time experiment_name peft_branch train_config peft_config "
    "error_msg",
    "train_info": "accelerator_memory_reserved_avg accelerator_memory_max "
    "accelerator_memory_reserved_99th train_time file_size num_trainable_params num_total_params "
    "status metrics",
    "meta_info": "model_info dataset_info package_info system_info pytorch_info",
}
TRAIN_CONFIG = (
    "model_id dtype max_seq_length batch_size batch_size_eval max_steps eval_steps compile use_gc "
    "query_template seed grad_norm_clip optimizer_type optimizer_kwargs lr_scheduler use_amp "
    "autocast_adapter_dtype generation_kwargs attn_implementation init_kv_cache_prefix"
)


@pytest.mark.parametrize(("name", "dtype"), [("NVIDIA H200", "bfloat16"), ("CPU", "float32")])
def test_the_precision_is_that_of_the_training_wherever_it_was_evaluated(tmp_path, name, dtype):
    run, adapter = KEPT["denselora--mini-rank16"]
    copy = shutil.copytree(ROOT / "adapters" / adapter, tmp_path / "adapter")
    file = copy / "training.json"
    trained = json.loads(file.read_text()) | {"device": {"name": name, "count": 1}}
    file.write_text(json.dumps(trained))
    record = read_record(ROOT / "results/runs" / run / "record.json")
    made = comparison_result(record, copy)["run_info"]["train_config"]
    assert (made["dtype"], made["use_amp"]) == (dtype, dtype == "bfloat16")


def llama_3_2_3b():
    """The model there, without its weights."""
    shape = LlamaConfig(
        vocab_size=128_256,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=28,
        num_attention_heads=24,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        return LlamaForCausalLM(shape)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda folder: folder.name)
def test_an_experiment_is_an_adapter_config_and_what_differs_in_training(experiment):
    assert {file.name for file in experiment.iterdir()} == {
        "adapter_config.json",
        "training_params.json",
    }
    assert experiment.parent.name == "denselora"
    config = PeftConfig.from_pretrained(str(experiment))
    assert isinstance(config, DenseLoraConfig) and config.denselora_alpha == 2 * config.r
    params = json.loads((experiment / "training_params.json").read_text())
    assert params.keys() <= set(TRAIN_CONFIG.split())


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda folder: folder.name)
def test_its_readme_states_what_it_trains_there(experiment):
    config = PeftConfig.from_pretrained(str(experiment))
    with torch.device("meta"):
        model = get_peft_model(llama_3_2_3b(), config)
    trainable, _ = model.get_nb_trainable_parameters()
    words = " ".join((FOLDER / "README.md").read_text().split())
    assert f"r={config.r} trains {trainable:,}" in words


@pytest.mark.parametrize("name", KEPT)
def test_a_record_gives_a_result_with_the_keys_there(name):
    run, folder = KEPT[name]
    record = read_record(ROOT / "adapters/records" / run / "record.json")
    result = comparison_result(record, ROOT / "adapters" / folder)
    kept = FOLDER / "temporary_results" / f"{name}.json"
    assert json.loads(kept.read_text()) == json.loads(json.dumps(result))
    assert {part: set(keys) for part, keys in result.items()} == {
        part: set(keys.split()) for part, keys in KEYS.items()
    }
    assert set(result["run_info"]["train_config"]) == set(TRAIN_CONFIG.split())
    assert "{query}" in result["run_info"]["train_config"]["query_template"]
    assert result["train_info"]["metrics"][-1]["test accuracy"] == record.average.accuracy
    assert result["train_info"]["num_trainable_params"] == record.method.trainable


def test_a_record_and_another_runs_adapter_give_no_result():
    (run, _), (_, folder) = KEPT.values()
    record = read_record(ROOT / "adapters/records" / run / "record.json")
    with pytest.raises(UserError, match="not the adapter of"):
        comparison_result(record, ROOT / "adapters" / folder)


def test_what_was_not_trained_here_has_no_result(tmp_path):
    with pytest.raises(UserError, match="no training"):
        comparison_result(make_record("none"), tmp_path)
