"""transformers' own adapter methods, which know of PEFT but not of a tuner around the model."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from tests.tiny import adapted_llama, denselora_config, tiny_llama, train


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens).logits


def other_seed() -> None:
    """So that an adapter which was not loaded can't equal the saved one by its initial values."""
    torch.manual_seed(1234)


@pytest.fixture
def adapter(tmp_path, tokens):
    model = adapted_llama()
    train(model, tokens)
    model.save_pretrained(tmp_path / "adapter")
    return model, tmp_path / "adapter"


def test_load_adapter_reads_every_tensor(adapter, tokens):
    model, folder = adapter
    base = tiny_llama()
    other_seed()
    report = base.load_adapter(str(folder))
    assert not report.missing_keys and not report.unexpected_keys
    assert torch.equal(logits(base, tokens), logits(model, tokens))
    assert not any(p.requires_grad for n, p in base.named_parameters() if "denselora_" in n)


def test_a_model_opens_by_its_adapter_folder_alone(tmp_path, tokens):
    tiny_llama().save_pretrained(tmp_path / "base")
    other_seed()
    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    model = PeftModel(base, denselora_config(init_weights=False)).eval()
    model.save_pretrained(tmp_path / "adapter")
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(opened, tokens), logits(model, tokens))


def test_add_adapter_trains_saves_and_loads_in_peft_and_here(tmp_path, tokens):
    model = tiny_llama()
    before = logits(model, tokens)
    model.add_adapter(denselora_config())
    assert torch.equal(logits(model, tokens), before)
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("denselora_" in name)
    train(model, tokens)
    trained = logits(model, tokens)
    assert not torch.equal(trained, before)

    model.save_pretrained(tmp_path)
    assert len(load_file(tmp_path / "adapter_model.safetensors")) == 20
    other_seed()
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_llama(), tmp_path), tokens), trained)
    again = tiny_llama()
    again.load_adapter(str(tmp_path), adapter_name="mine")
    assert torch.equal(logits(again, tokens), trained)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
@pytest.mark.parametrize("targets", [["q_proj", "up_proj"], "all-linear"])
def test_adapters_are_added_switched_disabled_and_deleted(adapter, tokens, targets):
    model, folder = adapter
    base = tiny_llama()
    before = logits(base, tokens)
    base.load_adapter(str(folder), adapter_name="first")
    base.add_adapter(
        denselora_config(r=2, init_weights=False, target_modules=targets), adapter_name="second"
    )
    assert base.active_adapters() == ["second"]
    second = logits(base, tokens)
    base.set_adapter("first")
    assert torch.equal(logits(base, tokens), logits(model, tokens))
    assert not torch.equal(second, logits(model, tokens))
    base.disable_adapters()
    assert torch.equal(logits(base, tokens), before)
    base.enable_adapters()
    base.delete_adapter("first")
    assert not any(".first." in name for name in base.state_dict())
    base.set_adapter("second")
    assert torch.equal(logits(base, tokens), second)
