"""Architectures other than LLaMA, with the layers that PEFT adapts by default."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

from tests.adapter.architectures import MODELS, tiny
from tests.tiny import denselora_config, train


@pytest.mark.parametrize("name", MODELS)
def test_default_targets_train_save_and_load(name, tmp_path, tokens):
    with torch.no_grad():
        before = tiny(name)(tokens).logits
        model = get_peft_model(tiny(name), denselora_config(target_modules=None))
        assert torch.equal(model(tokens).logits, before)
    train(model, tokens)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny(name), tmp_path)
    with torch.no_grad():
        assert not torch.equal(model(tokens).logits, before)
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)


def test_one_type_in_two_shapes_has_a_pair_per_shape_named_by_it(tmp_path, tokens):
    # GPT-2 calls c_proj both the attention's output [32 → 32] and the MLP's [128 → 32].
    model = get_peft_model(tiny("gpt2"), denselora_config(target_modules=["c_proj", "c_fc"]))
    train(model, tokens)
    encoders = model.base_model.denselora_encoder["default"]
    assert set(encoders) == {"c_proj_32x32", "c_proj_128x32", "c_fc"}
    attention, mlp = (getattr(model.base_model.model.transformer.h[1], n) for n in ("attn", "mlp"))
    assert attention.c_proj.matrices("default")[0] is encoders["c_proj_32x32"]
    assert mlp.c_proj.matrices("default")[0] is encoders["c_proj_128x32"]

    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert saved["base_model.denselora_encoder.c_proj_128x32.weight"].shape == (4, 128)
    loaded = PeftModel.from_pretrained(tiny("gpt2"), tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)


@pytest.mark.filterwarnings("ignore:Unsupported layer type")
def test_conv1d_is_adapted_by_the_same_equation():
    model = get_peft_model(
        tiny("gpt2"),
        denselora_config(target_modules=["c_attn"], activation="identity", init_weights=False),
    )
    layer = model.base_model.model.transformer.h[0].attn.c_attn
    E, M, D = (matrix.weight for matrix in layer.matrices("default"))
    x = torch.randn(3, 32)
    expected = x @ layer.base_layer.weight + layer.base_layer.bias + 2 * x @ E.T @ M.T @ D.T
    torch.testing.assert_close(layer(x), expected)
