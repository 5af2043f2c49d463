import huggingface_hub
import pytest
import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from denselora import DenseLoraConfig
from denselora.adapter.layer import DenseLoraLinear
from denselora.adapter.model import pair_names
from tests.tiny import TARGETS, adapted_llama, tiny_llama, train

# The two models of the paper: widths from their public configurations.
PAPER_MODELS = {
    "LLaMA3-8B": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "LLaMA2-7B": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
}


def layers_of(model: nn.Module) -> dict[str, DenseLoraLinear]:
    return {path: m for path, m in model.named_modules() if isinstance(m, DenseLoraLinear)}


def trainable(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("name", "r", "count", "percent"),
    [
        ("LLaMA3-8B", 16, 925_696, "0.0115"),
        ("LLaMA3-8B", 32, 1_933_312, "0.0241"),
        ("LLaMA3-8B", 64, 4_194_304, "0.0522"),
        ("LLaMA2-7B", 16, 917_504, "0.0136"),
        ("LLaMA2-7B", 32, 1_916_928, "0.0284"),
        ("LLaMA2-7B", 64, 4_161_536, "0.0617"),
    ],
)
def test_trainable_count_is_the_paper_s_and_the_closed_form(name, r, count, percent):
    widths = PAPER_MODELS[name]
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**widths))
    hidden, wide, layers = (
        widths[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    kv = hidden * widths["num_key_value_heads"] // widths["num_attention_heads"]
    in_out = [(hidden, hidden), (hidden, kv), (hidden, kv), (hidden, wide), (wide, hidden)]
    closed_form = sum(i + o for i, o in in_out) * r + layers * len(in_out) * r * r

    peft_model = get_peft_model(model, DenseLoraConfig(r=r, target_modules=TARGETS))
    ours, total = peft_model.get_nb_trainable_parameters()
    assert ours == count == closed_form
    assert f"{100 * ours / total:.4f}" == percent


def test_lora_on_the_same_targets_has_the_published_count():
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**PAPER_MODELS["LLaMA3-8B"]))
    lora = get_peft_model(model, LoraConfig(r=32, target_modules=TARGETS))
    assert lora.get_nb_trainable_parameters()[0] == 56_623_104


def test_layers_of_a_type_share_one_encoder_and_one_decoder():
    model = adapted_llama()
    tuner = model.base_model
    assert set(tuner.denselora_encoder["default"]) == set(TARGETS)
    for path, layer in layers_of(model).items():
        E, _, D = layer.matrices("default")
        module_type = path.rpartition(".")[2]
        assert E is tuner.denselora_encoder["default"][module_type]
        assert D is tuner.denselora_decoder["default"][module_type]


def test_k_and_v_have_pairs_of_their_own_though_their_shapes_are_equal():
    encoder = adapted_llama().base_model.denselora_encoder["default"]
    assert encoder["k_proj"].weight.shape == encoder["v_proj"].weight.shape
    assert not torch.equal(encoder["k_proj"].weight, encoder["v_proj"].weight)


def test_every_layer_has_a_core_of_its_own():
    cores = [layer.matrices("default")[1].weight for layer in layers_of(adapted_llama()).values()]
    assert len({core.data_ptr() for core in cores}) == len(cores) == 10


def test_pair_names_follow_the_sharing_rule():
    shapes = {"0.q": (4, 4), "0.k": (4, 2), "0.v": (4, 2), "1.q": (4, 4), "1.v": (4, 8)}
    assert pair_names(shapes, "module_type") == {
        "0.q": "q",
        "1.q": "q",
        "0.k": "k",
        "0.v": "v_4x2",
        "1.v": "v_4x8",
    }
    assert pair_names(shapes, "shape") == {
        "0.q": "4x4",
        "1.q": "4x4",
        "0.k": "4x2",
        "0.v": "4x2",
        "1.v": "4x8",
    }
    assert pair_names(shapes, "none") == {path: path.replace(".", "-") for path in shapes}


@pytest.mark.parametrize(
    ("share", "widths"),
    [
        # TINY: hidden 32, keys and values 16, wide 48, two layers
        ("module_type", 64 + 48 + 48 + 80 + 80),
        ("shape", 64 + 48 + 80 + 80),
        ("none", 2 * (64 + 48 + 48 + 80 + 80)),
    ],
)
def test_count_of_each_sharing_is_its_closed_form(share, widths):
    r = 4
    assert trainable(adapted_llama(share=share, r=r)) == widths * r + 10 * r * r


def test_saved_keys_are_exactly_those_of_the_format_each_once(tmp_path):
    model = adapted_llama()
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    expected = {
        f"base_model.denselora_{part}.{module_type}.weight"
        for part in ("encoder", "decoder")
        for module_type in TARGETS
    }
    for layer in range(2):
        for path in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
            expected.add(f"base_model.model.model.layers.{layer}.{path}.denselora_core.weight")
        for path in ("mlp.up_proj", "mlp.down_proj"):
            expected.add(f"base_model.model.model.layers.{layer}.{path}.denselora_core.weight")
    assert set(saved) == expected
    assert sum(tensor.numel() for tensor in saved.values()) == trainable(model)
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
@pytest.mark.parametrize("share", ["module_type", "shape", "none"])
def test_a_loaded_adapter_gives_bit_equal_logits_and_is_tied_again(
    tmp_path, tokens, share, low_cpu_mem_usage
):
    model = adapted_llama(share=share)
    train(model, tokens)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage)
    with torch.no_grad():
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)
    for layer in layers_of(loaded).values():
        E, _, D = layer.matrices("default")
        assert any(E is own for own in loaded.base_model.denselora_encoder["default"].values())
        assert any(D is own for own in loaded.base_model.denselora_decoder["default"].values())
    assert not any(p.requires_grad for p in loaded.parameters())


def test_loading_for_training_resumes_training(tmp_path, tokens):
    model = adapted_llama()
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path, is_trainable=True)
    assert trainable(loaded) == trainable(model)
    for either in (model, loaded):
        train(either, tokens)
    assert torch.equal(loaded(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_loading_is_strict_and_names_the_key(tmp_path, change):
    adapted_llama().save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    key = "base_model.denselora_encoder.q_proj.weight"
    if change == "missing":
        del tensors[key]
    else:
        key = "base_model.denselora_encoder.gate_proj.weight"
        tensors[key] = torch.zeros(4, 32)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError) as error:
        PeftModel.from_pretrained(tiny_llama(), tmp_path)
    assert f"{change}: {key}" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_adapter_of_another_width_is_refused_by_key_and_shapes(tmp_path):
    adapted_llama().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"another shape: .*_encoder.* \[4, 32\] for \[4, 64\]"):
        PeftModel.from_pretrained(tiny_llama(hidden_size=64), tmp_path)


def test_a_checkpoint_s_state_dict_and_the_saved_file_agree(tmp_path, tokens):
    model = adapted_llama()
    train(model, tokens)
    state = get_peft_model_state_dict(model)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[key], saved[key]) for key in saved)

    other = adapted_llama(seed=7)
    set_peft_model_state_dict(other, state)
    ours = get_peft_model_state_dict(other)
    assert all(torch.equal(ours[key], saved[key]) for key in saved)


def test_a_whole_state_dict_is_the_base_s_and_the_adapter_s_with_the_pairs_once():
    model = adapted_llama()
    own = [key for key in model.state_dict() if "denselora_" in key]
    assert len(own) == 20
    assert len(model.state_dict()) == len(tiny_llama().state_dict()) + 20


def test_an_adapter_comes_from_a_hub_repository_by_its_name(tmp_path, tokens, monkeypatch):
    # The hub's own cache layout stands in for the hub.
    model = adapted_llama()
    repository = tmp_path / "models--someone--adapter"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    model.save_pretrained(repository / "snapshots" / "abc123")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    config = PeftConfig.from_pretrained("someone/adapter", cache_dir=tmp_path)
    assert isinstance(config, DenseLoraConfig)
    torch.manual_seed(1234)
    loaded = PeftModel.from_pretrained(tiny_llama(), "someone/adapter", cache_dir=tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)
