import pickle
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

import denselora
from denselora.errors import UserError
from tests.adapter.architectures import tiny
from tests.adapter.release import release_folder
from tests.tiny import TINY, adapted_llama, denselora_config, tiny_llama, train


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens).logits


def test_what_cannot_be_written_as_lora_is_one_clear_error(tmp_path):
    two = linear_adapter()
    two.add_adapter("second", denselora_config(activation="identity"))
    two.base_model.set_adapter(["default", "second"])
    lora = get_peft_model(tiny_llama(), LoraConfig(target_modules=["q_proj"]))
    lora.save_pretrained(tmp_path / "lora")
    for what, message in (
        (two, "active adapters: default, second; choose"),
        (lora, "an adapter of type LORA; only DenseLoRA"),
        (tmp_path / "lora", "an adapter of type LORA; only DenseLoRA"),
        (tiny_llama(), "LlamaForCausalLM: give a PeftModel with DenseLoRA"),
    ):
        with pytest.raises(ValueError, match=message):
            denselora.to_lora(what, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def linear_adapter(**overrides):
    return adapted_llama(activation="identity", **overrides)


@pytest.mark.parametrize("activation", ["gelu", "silu", "relu"])
@pytest.mark.parametrize("safe", [False, True])
def test_an_adapter_with_an_activation_refuses_to_merge_and_stays_as_it_was(
    tokens, activation, safe
):
    model = adapted_llama(activation=activation)
    before = logits(model, tokens)
    for merge in (model.merge_and_unload, model.merge_adapter):
        with pytest.raises(ValueError, match=r"depends on the input.*activation='identity'"):
            merge(safe_merge=safe)
    assert torch.equal(logits(model, tokens), before)
    assert model.get_model_status().merged_adapters == []


@pytest.mark.parametrize("safe", [False, True])
def test_an_adapter_without_activation_merges_exactly(tokens, safe):
    model = linear_adapter()
    train(model, tokens)
    before = logits(model, tokens)
    base = logits(tiny_llama(), tokens)
    model.merge_adapter(safe_merge=safe)
    assert model.get_model_status().merged_adapters == ["default"]
    torch.testing.assert_close(logits(model, tokens), before, rtol=1e-5, atol=1e-6)
    with model.disable_adapter():  # unmerges
        torch.testing.assert_close(logits(model, tokens), base, rtol=1e-5, atol=1e-6)
    merged = model.merge_and_unload(safe_merge=safe)
    torch.testing.assert_close(logits(merged, tokens), before, rtol=1e-5, atol=1e-6)
    assert merged.state_dict().keys() == tiny_llama().state_dict().keys()
    assert (before - base).abs().max() > 1e-2


def test_merging_in_float64_is_exact_to_its_last_bits(tokens):
    model = linear_adapter().double()
    before = logits(model, tokens)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged, tokens), before, rtol=1e-12, atol=1e-13)


def test_only_the_named_adapters_are_merged(tokens):
    model = linear_adapter()
    model.add_adapter("curved", denselora_config(init_weights=False))
    before = logits(model, tokens)
    with pytest.raises(ValueError, match="'curved'"):
        model.merge_adapter(adapter_names=["default", "curved"])
    assert model.get_model_status().merged_adapters == []
    model.merge_adapter(adapter_names=["default"])
    torch.testing.assert_close(logits(model, tokens), before, rtol=1e-5, atol=1e-6)
    model.unmerge_adapter()
    torch.testing.assert_close(logits(model, tokens), before, rtol=1e-5, atol=1e-6)


def test_safe_merging_refuses_weights_that_are_not_finite():
    model = linear_adapter()
    with torch.no_grad():
        model.base_model.denselora_decoder["default"]["q_proj"].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="'default' gives weights that are not finite"):
        model.merge_and_unload(safe_merge=True)


def test_conv1d_merges_too(tokens):
    model = get_peft_model(
        tiny("gpt2"),
        denselora_config(target_modules=["c_attn"], activation="identity", init_weights=False),
    ).eval()
    before = logits(model, tokens)
    torch.testing.assert_close(logits(model.merge_and_unload(), tokens), before)


@pytest.mark.parametrize("source", ["model", "folder"])
@pytest.mark.parametrize("share", ["module_type", "none"])
def test_written_as_lora_it_gives_the_same_logits_in_plain_peft(tmp_path, tokens, source, share):
    model = linear_adapter(share=share, modules_to_save=["lm_head"])
    train(model, tokens)
    model.save_pretrained(tmp_path / "ours")
    denselora.to_lora(model if source == "model" else tmp_path / "ours", tmp_path / "lora")
    lora = PeftModel.from_pretrained(tiny_llama(), tmp_path / "lora")
    assert lora.peft_config["default"].peft_type.value == "LORA"
    torch.testing.assert_close(logits(lora, tokens), logits(model, tokens), rtol=1e-5, atol=1e-6)


def test_an_adapter_is_not_written_over_by_what_is_made_from_it(tmp_path, monkeypatch):
    model = adapted_llama(activation="identity")
    model.save_pretrained(tmp_path / "ours")
    before = (tmp_path / "ours/adapter_config.json").read_bytes()
    with pytest.raises(UserError, match=r"out=.*holds the adapter that is read"):
        denselora.to_lora(tmp_path / "ours", tmp_path / "other/../ours")
    assert (tmp_path / "ours/adapter_config.json").read_bytes() == before
    mine = tmp_path / "lora.partial/mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    (tmp_path / "lora").mkdir()
    monkeypatch.chdir(tmp_path / "lora")
    denselora.to_lora(model, ".")
    assert (tmp_path / "lora/adapter_model.safetensors").exists() and mine.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"ours", "lora", "lora.partial"}


def test_the_lora_loads_in_a_process_that_never_imports_denselora(tmp_path, tokens):
    base, model = tiny_llama(), linear_adapter()
    base.save_pretrained(tmp_path / "base")
    denselora.to_lora(model, tmp_path / "lora")
    torch.save(tokens, tmp_path / "tokens.pt")
    script = (
        "import sys, torch; from peft import PeftModel; from transformers import LlamaForCausalLM\n"
        "base = LlamaForCausalLM.from_pretrained('base')\n"
        "model = PeftModel.from_pretrained(base, 'lora').eval()\n"
        "torch.save(model(torch.load('tokens.pt')).logits.detach(), 'logits.pt')\n"
        "assert 'denselora' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    torch.testing.assert_close(
        torch.load(tmp_path / "logits.pt"), logits(model, tokens), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("share", ["module_type", "shape"])
def test_a_model_tells_which_pair_a_layer_shares_where_a_folder_does_not(tmp_path, tokens, share):
    model = get_peft_model(
        tiny("gpt2"),
        denselora_config(
            target_modules=["c_proj"], activation="identity", init_weights=False, share=share
        ),
    ).eval()
    model.save_pretrained(tmp_path / "ours")
    with pytest.raises(ValueError, match="depends on its shape"):
        denselora.to_lora(tmp_path / "ours", tmp_path / "lora")
    assert not (tmp_path / "lora").exists()
    denselora.to_lora(model, tmp_path / "lora")
    with pytest.warns(UserWarning, match="fan_in_fan_out"):
        lora = PeftModel.from_pretrained(tiny("gpt2"), tmp_path / "lora")
    torch.testing.assert_close(logits(lora, tokens), logits(model, tokens), rtol=1e-5, atol=1e-6)


def test_an_adapter_with_an_activation_is_not_written_as_lora(tmp_path):
    with pytest.raises(ValueError, match="activation='gelu'"):
        denselora.to_lora(adapted_llama(), tmp_path / "lora")
    assert not (tmp_path / "lora").exists()


def test_the_authors_file_becomes_ours_with_equal_logits(tmp_path, tokens):
    model = adapted_llama()
    out = denselora.from_release(release_folder(tmp_path / "release", model))
    assert out == tmp_path / "release" / "denselora"
    loaded = PeftModel.from_pretrained(tiny_llama(), out)
    assert torch.equal(logits(loaded, tokens), logits(model, tokens))
    config = loaded.peft_config["default"]
    assert (config.r, config.denselora_alpha, config.denselora_dropout) == (4, 8, 0.05)
    assert len(load_file(out / "adapter_model.safetensors")) == 20


Q = "base_model.model.model.layers.1.self_attn.q_proj"
M = f"{Q}.lora_m.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state[f"{Q}.lora_encoder.weight"].add_(1), "q_proj.lora_encoder.* differs"),
        (lambda state: state["base_model.lora_decoder_v.weight"].add_(1), "differs from another"),
        (lambda state: state.update({"lm_head.weight": torch.ones(1)}), "unexpected key .lm_head"),
        (
            lambda state: [state.pop(key) for key in list(state) if "_m.weight" in key],
            "no lora_m.weight",
        ),
        (
            lambda state: [state.pop(key) for key in list(state) if "decoder" in key],
            "lacks the shared matrix",
        ),
        (lambda state: state.clear(), "no lora_m.weight"),
        (lambda state: state.update({7: torch.ones(1)}), "7 is no tensor"),
        (lambda state: state.update({"a\nb.lora_m.weight": torch.ones(4, 4)}), "is no tensor"),
        (lambda state: state.update({M: {"a": 1}}), "q_proj.lora_m.* no tensor"),
        (lambda state: state.update({M: torch.ones(4, 3)}), r"\[4, 3\], expected \[r, r\]"),
        (lambda state: state.update({M: torch.ones(4, 4, dtype=torch.int64)}), "no tensor"),
        (lambda state: state[M].fill_(float("nan")), "NaN"),
        (
            lambda state: state.update({k: v[:3] for k, v in state.items() if "encoder" in k}),
            r"\[3, 48\], expected \[r, in\] with r=4",
        ),
    ],
)
def test_a_spoilt_file_of_the_authors_is_refused_in_one_line(tmp_path, change, message):
    folder = release_folder(tmp_path / "release", adapted_llama(), change)
    with pytest.raises(UserError, match=message) as error:
        denselora.from_release(folder)
    assert "\n" not in str(error.value)
    assert not (folder / "denselora").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04.",
        b"PK\x03\x04" + bytes(50),
        bytes(range(256)) * 9,
        b"<html>",
        pickle.dumps([]),
    ],
)
def test_whatever_the_authors_file_holds_is_one_line_and_nothing_is_written(tmp_path, content):
    folder = release_folder(tmp_path / "release", adapted_llama())
    (folder / "adapter_model.bin").write_bytes(content)
    with pytest.raises(UserError, match=r"adapter_model\.bin.*give the two files") as error:
        denselora.from_release(folder)
    assert "\n" not in str(error.value)
    assert len(list(folder.iterdir())) == 2


def test_a_state_of_another_kind_is_refused(tmp_path):
    folder = release_folder(tmp_path / "release", adapted_llama())
    for content in ([torch.ones(1)], torch.ones(1), "text", None):
        torch.save(content, folder / "adapter_model.bin")
        with pytest.raises(UserError, match="not tensors by name"):
            denselora.from_release(folder)


def test_a_full_disk_leaves_no_half_written_folder(tmp_path, full_disk):
    folder = release_folder(tmp_path / "release", adapted_llama())
    with full_disk(1000), pytest.raises(UserError, match="denselora: can't be written"):
        denselora.from_release(folder)
    assert len(list(folder.iterdir())) == 2


def test_a_file_that_would_run_code_is_not_unpickled(tmp_path):
    folder = release_folder(tmp_path / "release", adapted_llama())
    ran = tmp_path / "ran"

    class Malicious:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    torch.save({"key": Malicious()}, folder / "adapter_model.bin")
    with pytest.raises(UserError, match="can't be read as tensors and nothing else"):
        denselora.from_release(folder)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.bin"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = release_folder(tmp_path / "release", adapted_llama())
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        denselora.from_release(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "malformed JSON"),
        ('{"r": 4}', "lora_alpha: Field required"),
        ("[]", "a list, expected an object"),
        ("", "empty"),
        ('{"r": 4, "lora_alpha": 8, "lora_dropout": 0, "target_modules": []}', "target_modules"),
        ('{"r": true, "lora_alpha": 8, "lora_dropout": 0, "target_modules": "q"}', "r: "),
        ('{"r": 4, "lora_alpha": NaN, "lora_dropout": 0, "target_modules": "q"}', "lora_alpha: "),
    ],
)
def test_a_spoilt_configuration_of_the_authors_is_refused(tmp_path, text, message):
    folder = release_folder(tmp_path / "release", adapted_llama())
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(UserError, match=rf"adapter_config.json.*{message}"):
        denselora.from_release(folder)


def test_an_exported_lora_has_the_tensors_that_llama_cpp_converts(tmp_path):
    """Its convert_lora_to_gguf.py takes pairs of A and B, by the names of the base's weights."""
    gguf = pytest.importorskip("gguf")
    denselora.to_lora(adapted_llama(activation="identity"), tmp_path)
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, TINY["num_hidden_layers"])
    pairs: dict[str, set[str]] = {}
    for key in load_file(tmp_path / "adapter_model.safetensors"):
        name, part, _ = key.removeprefix("base_model.model.").rsplit(".", 2)
        pairs.setdefault(known.get_name(name + ".weight", try_suffixes=(".weight",)), set()).add(
            part
        )
    assert len(pairs) == 10 and None not in pairs
    assert all(parts == {"lora_A", "lora_B"} for parts in pairs.values())
