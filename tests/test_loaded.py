"""A folder that lacks tensors, or has others, is refused: base, full model, adapter, checkpoint."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from denselora.errors import UserError
from denselora.evaluation.adapter_folder import adapted
from denselora.evaluation.base import Base
from denselora.loaded import check_adapter, check_tensors, not_finite
from denselora.models import load_base
from denselora.training.weights import load_weights, save_weights
from tests.tiny import TARGETS, denselora_config, tiny_llama, train

NORM, UP = "model.norm.weight", "model.layers.1.mlp.up_proj.weight"
LORA = {"r": 4, "target_modules": TARGETS, "task_type": "CAUSAL_LM"}
METHODS = {
    "denselora": denselora_config(),
    "denselora with a head": denselora_config(modules_to_save=["lm_head"]),
    "lora": LoraConfig(**LORA),
    "lora with tokens": LoraConfig(**LORA, trainable_token_indices=[1, 2]),
    "lora with embeddings": LoraConfig(**{**LORA, "target_modules": ["embed_tokens", "q_proj"]}),
    "dora": LoraConfig(**LORA, use_dora=True),
    "vera": peft.VeraConfig(r=4, target_modules=["q_proj"]),
    "lokr": peft.LoKrConfig(r=4, target_modules=TARGETS),
    "adalora": peft.AdaLoraConfig(
        target_r=2, init_r=4, total_step=100, target_modules=["q_proj", "v_proj"]
    ),
    "hira": peft.HiraConfig(r=4, target_modules=["q_proj"]),
    "ia3": peft.IA3Config(target_modules=TARGETS, feedforward_modules=["down_proj"]),
    "road": peft.RoadConfig(target_modules=["q_proj"], group_size=2),
    "psoft": peft.PsoftConfig(r=4, psoft_alpha=4, target_modules=["q_proj"]),
    "miss": peft.MissConfig(r=4, target_modules=["q_proj"]),
    "peanut": peft.PeanutConfig(r=4, target_modules=["q_proj"]),
    "lily": peft.LilyConfig(r=4, stride_A=2, num_B=2, target_modules=["q_proj"]),
    "randlora": peft.RandLoraConfig(r=4, target_modules=["q_proj"]),
    "c3a": peft.C3AConfig(block_size=8, target_modules=["q_proj"]),
    "unilora": peft.UniLoraConfig(r=4, theta_d_length=99, target_modules=["q_proj"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Base:
    """A base that one adapter after the other is put on."""
    folder = tmp_path_factory.mktemp("base")
    tiny_llama().save_pretrained(folder)
    return Base(str(folder), torch.float32)


def change(folder: Path, name: str, how: str) -> None:
    """Make one tensor of a folder's weights missing, renamed, shorter or NaN."""
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    tensor = weights.pop(name)
    if how == "renamed":
        weights[f"{name}.old"] = tensor
    elif how == "shorter":
        weights[name] = tensor[1:].clone()
    elif how == "not finite":
        tensor.view(-1)[-1] = float("nan")
        weights[name] = tensor
    save_file(weights, file, metadata={"format": "pt"})


FAULTS = {
    "missing": "missing: {name}",
    "renamed": "missing: {name}; unexpected: {name}.old",
    "shorter": "of another shape: {name} [",
    "not finite": "not finite: {name}",
}


def refused(load, folder: Path, name: str, how: str) -> None:
    """A folder with such a fault is refused in a line that names folder and tensor."""
    change(folder, name, how)
    with pytest.raises(UserError) as told:
        load()
    message = str(told.value)
    assert "\n" not in message and str(folder) in message
    assert FAULTS[how].format(name=name) in message


@pytest.mark.parametrize("how", FAULTS)
def test_a_base_whose_weights_do_not_fit_its_config_is_refused(how, tmp_path):
    tiny_llama().save_pretrained(tmp_path)
    refused(lambda: load_base(str(tmp_path), torch.float32), tmp_path, UP, how)


@pytest.mark.parametrize(("layers", "kind"), [(1, "unexpected"), (3, "missing")])
def test_a_base_with_another_number_of_layers_than_its_config_is_refused(layers, kind, tmp_path):
    tiny_llama().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    with pytest.raises(UserError, match=rf"{kind}: model\.layers\.\d\..* and 6 more"):
        load_base(str(tmp_path), torch.float32)


def test_a_base_file_that_was_cut_off_is_refused(tmp_path):
    tiny_llama().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a complete model folder"):
        load_base(str(tmp_path), torch.float32)


@pytest.mark.parametrize("saved", ["neither", "both"])
def test_tied_heads_and_buffers_of_old_files_load(saved, tmp_path):
    model = tiny_llama(tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    assert "lm_head.weight" not in weights
    if saved == "both":
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(weights, file, metadata={"format": "pt"})
    loaded = load_base(str(tmp_path), torch.float32)
    assert torch.equal(loaded.lm_head.weight, model.model.embed_tokens.weight)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_base_loads_and_one_with_nan_is_refused(quantization, tmp_path):
    pytest.importorskip("bitsandbytes")
    tiny_llama(hidden_size=64, intermediate_size=64).save_pretrained(tmp_path)
    load_base(str(tmp_path), torch.float32, quantization=quantization)
    refused(
        lambda: load_base(str(tmp_path), torch.float32, quantization=quantization),
        tmp_path, UP, "not finite",
    )  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_method_loads_what_it_saved(name, base, tmp_path):
    trained = peft.get_peft_model(tiny_llama(), METHODS[name])
    save_weights(trained, tmp_path)
    load_weights(peft.get_peft_model(tiny_llama(seed=1), METHODS[name]), tmp_path)
    with adapted(base, tmp_path, None) as model:
        check_adapter(model, peft.load_peft_weights(str(tmp_path), device="cpu"), "here")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_the_same_logits_when_loaded(name, base, tmp_path):
    tokens = torch.arange(12)[None]
    with base.used() as frozen:
        plain = frozen(input_ids=tokens).logits
    trained = peft.get_peft_model(tiny_llama(), METHODS[name])
    train(trained, tokens)
    save_weights(trained, tmp_path)
    with adapted(base, tmp_path, None) as model, torch.no_grad():
        loaded = model(input_ids=tokens).logits
        assert torch.equal(loaded, trained(input_ids=tokens).logits)
    assert not torch.equal(loaded, plain)


def test_embeddings_that_peft_saved_beside_an_adapter_are_no_fault(base, tmp_path):
    trained = peft.get_peft_model(tiny_llama(), METHODS["lora with embeddings"])
    trained.save_pretrained(tmp_path, save_embedding_layers=True)
    with adapted(base, tmp_path, None):
        pass


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("name", METHODS)
def test_an_adapter_of_any_method_that_does_not_fit_is_refused(name, how, base, tmp_path):
    model = peft.get_peft_model(tiny_llama(), METHODS[name])
    save_weights(model, tmp_path / "adapter")
    fresh = peft.get_peft_model(tiny_llama(), METHODS[name])
    for tensor in load_file(tmp_path / "adapter" / "adapter_model.safetensors"):
        folder = shutil.copytree(tmp_path / "adapter", tmp_path / "changed")
        change(folder, tensor, how)
        for load in (lambda: load_weights(fresh, folder), lambda: _enter(base, folder)):  # noqa: B023
            with pytest.raises(UserError) as told:
                load()
            assert "\n" not in str(told.value) and str(folder) in str(told.value)
        shutil.rmtree(folder)


def _enter(base: Base, folder: Path) -> None:
    with adapted(base, folder, None):
        pass


@pytest.mark.parametrize("how", FAULTS)
def test_a_checkpoint_of_a_whole_model_that_does_not_fit_is_refused(how, tmp_path):
    save_weights(tiny_llama(), tmp_path)
    refused(lambda: load_weights(tiny_llama(), tmp_path), tmp_path, NORM, how)


def test_a_checkpoint_of_a_tied_model_loads(tmp_path):
    trained = tiny_llama(seed=1, tie_word_embeddings=True)
    save_weights(trained, tmp_path)
    model = tiny_llama(tie_word_embeddings=True)
    load_weights(model, tmp_path)
    assert torch.equal(model.lm_head.weight, trained.lm_head.weight)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_bad_number_is_found_wherever_it_stands(bad, dtype):
    for place in (0, 17, 99):
        weight = torch.randn(100).to(dtype)
        weight[place] = float(bad)
        assert not_finite([("good", torch.randn(3).to(dtype)), ("bad", weight)]) == ["bad"]


def test_whole_numbers_for_weights_are_refused():
    own = {"weight": torch.zeros(2)}
    check_tensors({"weight": torch.zeros(2, dtype=torch.bfloat16)}, own, "here", "don't fit")
    with pytest.raises(UserError, match="of another type: weight int32"):
        check_tensors({"weight": torch.zeros(2, dtype=torch.int32)}, own, "here", "don't fit")
