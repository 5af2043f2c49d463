"""What PEFT promises of every method: several adapters, switching, choosing layers, and so on."""

import copy
import pickle

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file

from denselora.adapter.layer import DenseLoraLinear
from tests.tiny import TARGETS, adapted_llama, denselora_config, tiny_llama, train


def layers_of(model) -> dict[str, DenseLoraLinear]:
    return {path: m for path, m in model.named_modules() if isinstance(m, DenseLoraLinear)}


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens).logits


def two_adapters():
    """default: r 4, gelu, five types. second: r 2, silu, two types, one of them o_proj."""
    model = adapted_llama()
    model.add_adapter(
        "second",
        denselora_config(
            r=2, activation="silu", target_modules=["q_proj", "o_proj"], init_weights=False
        ),
    )
    return model


def requires_grad(model, adapter: str) -> set[bool]:
    return {p.requires_grad for n, p in model.named_parameters() if f".{adapter}." in n}


def assert_tied(model, adapter: str = "default"):
    """Every layer of a type reads the very modules that the tuner owns."""
    tuner = model.base_model
    for path, layer in layers_of(model).items():
        if adapter not in layer.denselora_core:
            continue
        E, _, D = layer.matrices(adapter)
        assert E is tuner.denselora_encoder[adapter][path.rpartition(".")[2]]
        assert D is tuner.denselora_decoder[adapter][path.rpartition(".")[2]]
        for matrix in layer.matrices(adapter):
            assert any(matrix.weight is p for p in model.parameters())


@pytest.mark.parametrize("names", [["default", "second"], ["nobody", "default"]])
def test_an_adapter_for_each_row_is_an_error_in_forward_and_generate(tokens, names):
    model = two_adapters()
    for call in (model, model.generate):
        with pytest.raises(
            ValueError, match=r"adapter_names: DenseLoRA doesn't choose.*set_adapter"
        ):
            call(input_ids=tokens, adapter_names=names)
    model(input_ids=tokens, adapter_names=None)


@pytest.mark.parametrize("mode", [True, False])
def test_new_layers_are_in_the_mode_of_what_they_replace(mode, tokens):
    base = tiny_llama().train(mode)
    model = get_peft_model(base, denselora_config(denselora_dropout=0.5, init_weights=False))
    model.add_adapter("second", denselora_config(target_modules=["q_proj", "o_proj"]))
    assert len(layers_of(model)) == 12
    assert {layer.training for layer in layers_of(model).values()} == {mode}
    assert torch.equal(logits(model, tokens), logits(model, tokens)) is not mode


def test_a_second_peft_model_around_denselora_is_an_error(tmp_path):
    model = adapted_llama()
    model.save_pretrained(tmp_path)
    for again in (
        lambda: get_peft_model(model, denselora_config()),
        lambda: get_peft_model(model.get_base_model(), denselora_config(target_modules=["o_proj"])),
        lambda: PeftModel.from_pretrained(model.get_base_model(), tmp_path),
    ):
        with pytest.raises(ValueError, match=r"DenseLoRA layers already.*add_adapter.*unload\(\)"):
            again()
    base = model.unload()
    assert layers_of(get_peft_model(base, denselora_config()))


def test_a_hook_on_the_base_layer_is_given_what_the_branch_is_added_to(tokens):
    """As docs/using_the_adapter.md has it: a copy is the base's, the tensor may become the sum."""
    model, path = adapted_llama(), "base_model.model.model.layers.0.self_attn.q_proj"
    layer, seen = model.get_submodule(path), []
    layer.base_layer.register_forward_hook(lambda _, inputs, y: seen.append((inputs[0], y.clone())))
    logits(model, tokens)
    ((x, y),) = seen
    assert torch.equal(y, x @ layer.base_layer.weight.T)


def test_each_adapter_acts_alone_and_both_together_add_up(tokens):
    model = two_adapters()
    base = logits(tiny_llama(), tokens)
    first = logits(model, tokens)
    model.set_adapter("second")
    second = logits(model, tokens)
    assert not torch.equal(first, base) and not torch.equal(second, base)
    assert not torch.equal(first, second)
    assert model.active_adapters == ["second"]

    q_proj = layers_of(model)["base_model.model.model.layers.0.self_attn.q_proj"]
    x = torch.randn(3, 32)
    outputs = {}
    for names in ("default", "second", ["default", "second"]):
        model.base_model.set_adapter(names)
        outputs[str(names)] = q_proj(x) - q_proj.base_layer(x)
    torch.testing.assert_close(
        outputs["['default', 'second']"], outputs["default"] + outputs["second"]
    )
    assert model.active_adapters == ["default", "second"]


def test_adapters_on_one_base_share_nothing():
    model = two_adapters()
    model.add_adapter("twin", denselora_config(init_weights=False))
    pointers = {
        name: {p.data_ptr() for n, p in model.named_parameters() if f".{name}." in n}
        for name in ("default", "second", "twin")
    }
    assert len(set().union(*pointers.values())) == sum(map(len, pointers.values()))
    for name in pointers:
        assert_tied(model, name)


def test_training_one_adapter_leaves_the_other_and_the_base_alone(tokens):
    model = two_adapters()
    model.set_adapter("second")
    before = {n: p.clone() for n, p in model.named_parameters()}
    train(model, tokens)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {n for n in before if ".second." in n}


def test_only_the_active_adapter_requires_gradients():
    model = two_adapters()
    assert (requires_grad(model, "default"), requires_grad(model, "second")) == ({True}, {False})
    model.set_adapter("second")
    assert (requires_grad(model, "default"), requires_grad(model, "second")) == ({False}, {True})
    model.set_adapter("second", inference_mode=True)
    assert requires_grad(model, "second") == {False}
    model.set_requires_grad("default")
    assert requires_grad(model, "default") == {True}
    model.set_requires_grad("default", requires_grad=False)
    assert requires_grad(model, "default") == {False}


def test_disabling_gives_the_base_and_comes_back(tokens):
    model, base = two_adapters(), tiny_llama()
    adapted = logits(model, tokens)
    with model.disable_adapter():
        assert torch.equal(logits(model, tokens), logits(base, tokens))
        assert requires_grad(model, "default") == {False}
    assert torch.equal(logits(model, tokens), adapted)
    assert requires_grad(model, "default") == {True}
    model.base_model.disable_adapter_layers()
    assert torch.equal(logits(model, tokens), logits(base, tokens))
    model.base_model.enable_adapter_layers()
    assert torch.equal(logits(model, tokens), adapted)


def test_deleting_an_adapter_removes_all_of_it(tokens):
    model = two_adapters()
    model.set_adapter("second")
    second = logits(model, tokens)
    model.delete_adapter("default")
    assert not any(".default." in name for name in model.state_dict())
    assert list(model.peft_config) == ["second"]
    assert torch.equal(logits(model, tokens), second)
    for layer in layers_of(model).values():
        assert "default" not in layer.denselora_encoder


@pytest.mark.filterwarnings("ignore:Adapter second was active")
def test_deleting_the_active_adapter_activates_another():
    model = two_adapters()
    model.set_adapter("second")
    model.delete_adapter("second")
    assert model.active_adapters == ["default"]


def test_unload_gives_the_base_back(tokens):
    base = adapted_llama().unload()
    assert torch.equal(logits(base, tokens), logits(tiny_llama(), tokens))
    assert base.state_dict().keys() == tiny_llama().state_dict().keys()
    assert not any(isinstance(module, BaseTunerLayer) for module in base.modules())


def test_status_reports_the_adapters():
    status = two_adapters().get_model_status()
    assert status.adapter_model_type == "DenseLoraModel"
    assert status.available_adapters == ["default", "second"]
    assert status.active_adapters == ["default"]
    assert status.requires_grad == {"default": True, "second": False}
    assert status.num_adapter_layers == 12


def test_a_name_that_is_taken_is_refused_and_changes_nothing(tokens):
    model = two_adapters()
    before = logits(model, tokens)
    with pytest.raises(ValueError, match="second"):
        model.add_adapter("second", denselora_config())
    assert torch.equal(logits(model, tokens), before)


def test_a_further_adapter_that_matches_nothing_is_refused_and_leaves_no_trace(tokens):
    model = adapted_llama()
    before, keys = logits(model, tokens), model.state_dict().keys()
    with pytest.raises(ValueError, match="no_such_layer"):
        model.add_adapter("second", denselora_config(target_modules=["no_such_layer"]))
    assert model.state_dict().keys() == keys
    assert torch.equal(logits(model, tokens), before)


@pytest.mark.parametrize(
    ("choice", "count", "type_names"),
    [
        ({"target_modules": r".*layers\.1\.self_attn\.(q|v)_proj"}, 2, {"q_proj", "v_proj"}),
        ({"target_modules": ["layers.0.mlp.up_proj"]}, 1, {"up_proj"}),
        ({"exclude_modules": ["layers.0.self_attn.q_proj"]}, 9, set(TARGETS)),
        ({"exclude_modules": r".*mlp.*"}, 6, {"q_proj", "k_proj", "v_proj"}),
        ({"layers_to_transform": [1]}, 5, set(TARGETS)),
        ({"layers_to_transform": 0, "layers_pattern": "layers"}, 5, set(TARGETS)),
        ({"target_modules": "all-linear"}, 14, {*TARGETS, "o_proj", "gate_proj"}),
        ({"target_modules": None}, 4, {"q_proj", "v_proj"}),
    ],
)
def test_layers_are_chosen_as_in_peft(choice, count, type_names, tokens):
    model = adapted_llama(**choice)
    assert len(layers_of(model)) == count
    assert set(model.base_model.denselora_encoder["default"]) == type_names
    assert not torch.equal(logits(model, tokens), logits(tiny_llama(), tokens))


def test_a_further_adapter_changes_nothing_about_what_the_first_trains(tmp_path):
    adapted_llama(3).save_pretrained(tmp_path)
    for trained in (True, False):
        model = PeftModel.from_pretrained(tiny_llama(), tmp_path, is_trainable=trained)
        model.load_adapter(tmp_path, "reference")
        assert requires_grad(model, "default") == {trained}
        assert requires_grad(model, "reference") == {False}
        model.add_adapter("second", denselora_config())
        assert requires_grad(model, "default") == {trained}


@pytest.mark.parametrize("first", [{}, {"target_modules": "all-linear"}])
def test_all_linear_for_a_further_adapter_does_not_adapt_the_first(first):
    model = adapted_llama(**first)
    model.add_adapter("second", denselora_config(target_modules="all-linear"))
    assert len(layers_of(model)) == 14
    assert all("second" in layer.denselora_core for layer in layers_of(model).values())
    assert not any("denselora" in path.rpartition(".")[0] for path in layers_of(model))


def test_modules_to_save_are_trained_saved_and_loaded(tmp_path, tokens):
    model = adapted_llama(modules_to_save=["lm_head"])
    train(model, tokens)
    assert not torch.equal(model.base_model.model.lm_head.weight, tiny_llama().lm_head.weight)
    model.save_pretrained(tmp_path)
    assert "base_model.model.lm_head.weight" in load_file(tmp_path / "adapter_model.safetensors")
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path)
    assert torch.equal(logits(loaded, tokens), logits(model, tokens))


@pytest.mark.parametrize(("bias", "count"), [("all", 8), ("denselora_only", 4), ("none", 0)])
def test_biases_are_trained_saved_and_loaded_as_asked(tmp_path, tokens, bias, count):
    def base():
        return tiny_llama(attention_bias=True)  # q, k, v and o have one

    model = get_peft_model(base(), denselora_config(bias=bias, target_modules=["q_proj", "v_proj"]))
    assert sum(p.requires_grad for n, p in model.named_parameters() if n.endswith("bias")) == count
    train(model, tokens)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(key.endswith("bias") for key in saved) == count
    loaded = PeftModel.from_pretrained(base(), tmp_path)
    assert torch.equal(logits(loaded, tokens), logits(model, tokens))


@pytest.mark.parametrize(
    "move",
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: model.to(torch.float64),
        lambda model: model.half().float(),
        lambda model: model.to("meta").to_empty(device="cpu"),
        lambda model: model.to(torch.device("cpu")),
    ],
    ids=["deepcopy", "pickle", "float64", "half", "meta", "cpu"],
)
def test_the_tie_survives(move):
    assert_tied(move(two_adapters()))
    assert_tied(move(two_adapters()), "second")


def test_a_deep_copy_is_independent_of_its_original(tokens):
    model = adapted_llama()
    before = logits(model, tokens)
    twin = copy.deepcopy(model)
    train(twin, tokens)
    assert torch.equal(logits(model, tokens), before)
    assert not torch.equal(logits(twin, tokens), before)


def test_the_tie_survives_where_moving_replaces_parameters():
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        assert_tied(adapted_llama().to(torch.float64))
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_tie_and_the_outputs_survive_a_trip_to_the_gpu(tokens):
    model = adapted_llama()
    before = logits(model, tokens)
    assert_tied(model.to("cuda"))
    torch.testing.assert_close(logits(model, tokens.cuda()).cpu(), before, rtol=1e-3, atol=1e-4)
    assert_tied(model.to("cpu"))
    assert torch.equal(logits(model, tokens), before)


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_adapters_load_under_another_name_beside_each_other(tmp_path, tokens, low_cpu_mem_usage):
    model = two_adapters()
    model.save_pretrained(tmp_path)  # default at the top, second in a folder of its name
    model.set_adapter("second")
    second = logits(model, tokens)
    torch.manual_seed(5)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path, adapter_name="mine")
    loaded.load_adapter(
        tmp_path / "second", adapter_name="other", low_cpu_mem_usage=low_cpu_mem_usage
    )
    loaded.set_adapter("other")
    assert torch.equal(logits(loaded, tokens), second)
    loaded.set_adapter("mine")
    model.set_adapter("default")
    assert torch.equal(logits(loaded, tokens), logits(model, tokens))
    for name in ("mine", "other"):
        assert_tied(loaded, name)
