"""The base between adapters is the base, whatever the one before did to it."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from denselora.evaluation.base import Base
from tests.evaluation.calls import evaluate
from tests.tiny import denselora_config, write_model

TARGETS = ["q_proj", "up_proj"]
KINDS = {
    "modules to save": LoraConfig(r=2, target_modules=TARGETS, modules_to_save=["lm_head"]),
    "biases": LoraConfig(r=2, target_modules=TARGETS, bias="all"),
    "trained tokens": LoraConfig(r=2, target_modules=TARGETS, trainable_token_indices=[3, 4]),
    "PiSSA": LoraConfig(r=2, target_modules=TARGETS, init_lora_weights="pissa"),
    "DenseLoRA": denselora_config(init_weights=False),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base with biases."""
    return write_model(tmp_path_factory.mktemp("biased"), attention_bias=True, mlp_bias=True)


def make(folder, target, config):
    """An adapter all of whose trained weights differ from the start's."""
    torch.manual_seed(5)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(target)
    return target


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_after_an_adapter_is_the_base_bit_for_bit(folder, tmp_path, kind):
    base, adapter = Base(str(folder), torch.float32), make(folder, tmp_path / "a", KINDS[kind])
    before = state(base.model)
    names = [name for name, _ in base.model.named_modules()]
    with base.used() as frozen:
        PeftModel.from_pretrained(frozen, adapter)
    after = state(base.model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [name for name, _ in base.model.named_modules()] == names
    assert not hasattr(base.model, "peft_config")
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_one_weight_changed_in_its_last_bit_is_noticed(folder):
    base = Base(str(folder), torch.float32)
    weight = base.model.model.layers[1].mlp.up_proj.weight
    before = weight[3, 5].item()
    with base.used() as frozen:
        weight.data[3, 5] = torch.nextafter(weight.data[3, 5], torch.tensor(9.0))
        assert frozen.model.layers[1].mlp.up_proj.weight[3, 5] != before
    assert base.model.model.layers[1].mlp.up_proj.weight[3, 5] == before


def test_an_adapter_scores_after_others_as_it_does_alone(folder, data_folder, tmp_path):
    adapters = [make(folder, tmp_path / kind.replace(" ", ""), KINDS[kind]) for kind in KINDS]
    broken = shutil.copytree(adapters[0], tmp_path / "broken")
    weights = load_file(broken / "adapter_model.safetensors")
    weights.popitem()
    save_file(weights, broken / "adapter_model.safetensors")
    lora = make(folder, tmp_path / "last", LoraConfig(r=2, target_modules=TARGETS))
    options = [
        *(f"model.path={folder}", "data=local", f"data.path={data_folder}", "tasks=[piqa]"),
        *("protocol=clean", "scoring=choice"),
    ]
    every = ",".join(map(str, [broken, *adapters, lora]))
    records, (failure,) = evaluate(
        *options, f"adapter_path=[{every}]", f"output_dir={tmp_path}/all"
    )
    assert str(broken) in failure
    for record, adapter in zip(records, [*adapters, lora], strict=True):
        alone = tmp_path / f"alone-{adapter.name}"
        evaluate(*options, f"adapter_path={adapter}", f"output_dir={alone}")
        together = tmp_path / "all" / record.run_id / "piqa.jsonl"
        assert together.read_bytes() == (alone / "piqa.jsonl").read_bytes()
        assert len(json.loads(together.open().readline())["log_likelihood_nats"]) == 2
