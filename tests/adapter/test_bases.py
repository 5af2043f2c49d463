"""Bases other than plain fp32, and what wraps a model's forward pass."""

import pytest
import torch
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from denselora.adapter.layer import DenseLoraLinear
from tests.tiny import adapted_llama, denselora_config, tiny_llama, train

QUANTISED = {
    "nf4": BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    ),
    "int8": BitsAndBytesConfig(load_in_8bit=True),
}


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens).logits


def gradients(model, tokens) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model.train()
    model(input_ids=tokens, labels=tokens).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_llama(hidden_size=64, intermediate_size=128).save_pretrained(folder)
    return folder


def quantised(base_folder, kind: str):
    return AutoModelForCausalLM.from_pretrained(
        base_folder, quantization_config=QUANTISED[kind], device_map={"": "cpu"}
    )


@pytest.mark.parametrize("kind", QUANTISED)
def test_quantised_base_trains_saves_and_loads(base_folder, tmp_path, tokens, kind):
    base = prepare_model_for_kbit_training(quantised(base_folder, kind))
    frozen = logits(base, tokens)
    model = get_peft_model(base, denselora_config())
    assert torch.equal(logits(model, tokens), frozen)
    assert model.get_model_status().quantization_backend is not None
    train(model, tokens, steps=3)
    trained = logits(model, tokens)
    assert (trained - frozen).abs().max() > 1e-2
    with model.disable_adapter():
        assert torch.equal(logits(model, tokens), frozen)

    model.save_pretrained(tmp_path)
    again = prepare_model_for_kbit_training(quantised(base_folder, kind))
    assert torch.equal(logits(PeftModel.from_pretrained(again, tmp_path), tokens), trained)


# The widest half-gap of each kind's levels, of a block's or row's largest weight.
@pytest.mark.parametrize(("kind", "half_gap"), [("nf4", 0.1522), ("int8", 0.5 / 127)])
def test_an_adapter_without_activation_merges_into_a_quantised_base(base_folder, kind, half_gap):
    torch.manual_seed(0)
    model = get_peft_model(
        quantised(base_folder, kind),
        denselora_config(activation="identity", init_weights=False, denselora_alpha=64),
    )
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    with torch.no_grad():
        before, delta = layer.get_base_weight().float(), layer.get_delta_weight("default")
        expected = before + delta
        model.merge_adapter()
        rounding = layer.get_base_weight() - expected
    assert rounding.abs().max() < 1.05 * half_gap * expected.abs().max()
    assert rounding.norm() < 0.2 * delta.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_base_keeps_an_fp32_adapter_in_memory_and_on_disk(tmp_path, tokens, dtype):
    model = get_peft_model(tiny_llama().to(dtype), denselora_config())
    train(model, tokens)
    own = [p for n, p in model.named_parameters() if "denselora_" in n]
    assert {p.dtype for p in own} == {torch.float32}
    # fp32 resolution is kept, not just the dtype: nothing was rounded to half on the way
    assert any(not torch.equal(p, p.to(dtype).float()) for p in own)

    model.save_pretrained(tmp_path)
    for low_cpu_mem_usage in (False, True):
        loaded = PeftModel.from_pretrained(
            tiny_llama().to(dtype), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage
        )
        for (n, p), (_, q) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
            assert p.dtype == q.dtype and torch.equal(p, q), n
        assert torch.equal(logits(loaded, tokens), logits(model, tokens))


def test_autocast_adapter_dtype_off_gives_the_base_s_dtype(tmp_path, tokens):
    base = tiny_llama().to(torch.bfloat16)
    model = get_peft_model(base, denselora_config(), autocast_adapter_dtype=False)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    model.add_adapter("second", denselora_config(r=2))
    assert {p.dtype for n, p in model.named_parameters() if ".second." in n} == {torch.float32}
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(
        tiny_llama().to(torch.bfloat16), tmp_path, autocast_adapter_dtype=False
    )
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}


def test_bf16_autocast_trains_close_to_fp32(tokens):
    exact, model = adapted_llama(), adapted_llama()
    reference = gradients(exact, tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = gradients(model, tokens)
        q_proj = next(m for m in model.modules() if isinstance(m, DenseLoraLinear))
        assert q_proj(torch.randn(2, 32)).dtype == torch.bfloat16
    assert {g.dtype for g in rounded.values()} == {torch.float32}
    for name, gradient in reference.items():
        error = (rounded[name] - gradient).norm() / gradient.norm()
        assert 0 < error < 0.1, name


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(tokens, use_reentrant):
    plain, model = adapted_llama(denselora_dropout=0.3), adapted_llama(denselora_dropout=0.3)
    torch.manual_seed(2)
    expected = gradients(plain, tokens)
    model.enable_input_require_grads()  # what the reentrant kind needs with a frozen base
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    torch.manual_seed(2)
    actual = gradients(model, tokens)
    assert model.is_gradient_checkpointing
    assert expected.keys() == actual.keys()
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name


def test_torch_compile_finds_no_graph_break(tokens):
    torch.manual_seed(0)
    model = get_peft_model(
        tiny_llama(num_hidden_layers=1),
        denselora_config(target_modules=["q_proj", "down_proj"], init_weights=False),
    )
    model.add_adapter("second", denselora_config(r=2, activation="relu", init_weights=False))
    model.base_model.set_adapter(["default", "second"])
    expected = gradients(model, tokens)
    torch._dynamo.reset()
    # fullgraph raises at the first break; this is the whole model, not the layer alone
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for name, gradient in gradients(compiled, tokens).items():
        torch.testing.assert_close(gradient, expected[name.removeprefix("_orig_mod.")])


def test_dropout_compiles_without_a_graph_break():
    model = adapted_llama(denselora_dropout=0.5).train()
    layer = next(module for module in model.modules() if isinstance(module, DenseLoraLinear))
    torch._dynamo.reset()
    compiled, x = torch.compile(layer, backend="aot_eager", fullgraph=True), torch.randn(3, 32)
    assert not torch.equal(compiled(x), compiled(x))
