import ast
import json
import re

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from transformers import Gemma3Config

from denselora.errors import UserError
from denselora.models import (
    check_access,
    fingerprint,
    load_base,
    load_tokenizer,
    read_config,
    same_base,
)
from tests import ROOT
from tests.tiny import tiny_llama, write_model


def test_a_missing_folder_is_named():
    with pytest.raises(UserError, match=r"model.path=\./nowhere.*no such folder"):
        check_access("./nowhere")


def test_a_folder_without_weights_says_what_it_needs(tmp_path):
    tiny_llama().config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_base(str(tmp_path), torch.float32)


def test_a_model_of_more_than_text_is_refused(tmp_path):
    Gemma3Config().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="a gemma3 model is more than a text model"):
        read_config(str(tmp_path))


def hub_says(monkeypatch, error: Exception) -> str:
    """What check_access says when the hub's answer is that error."""

    def refuse(path):
        raise error

    monkeypatch.setattr("huggingface_hub.auth_check", refuse)
    with pytest.raises(UserError) as refused:
        check_access("owner/no-such-model-in-any-cache")
    assert "\n" not in str(refused.value) and "owner/no-such-model" in str(refused.value)
    return str(refused.value)


def test_a_model_out_of_reach_says_how_to_get_access(monkeypatch):
    assert "hub can't be reached" in hub_says(monkeypatch, OSError("Name or service not known"))


def test_a_gated_model_says_where_its_licence_is(monkeypatch):
    gated = GatedRepoError.__new__(GatedRepoError)
    assert "accept its licence at https://huggingface.co/owner" in hub_says(monkeypatch, gated)


def test_an_unknown_model_is_named(monkeypatch):
    unknown = RepositoryNotFoundError.__new__(RepositoryNotFoundError)
    assert "none on the hub" in hub_says(monkeypatch, unknown)


MARK = "import pathlib; pathlib.Path({mark!r}).touch()\n"


@pytest.mark.parametrize("load", [check_access, lambda path: load_base(path, torch.float32),
                                  load_tokenizer])  # fmt: skip
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("known", [True, False], ids=["llama", "unknown type"])
def test_a_folder_with_code_of_its_own_is_refused_and_the_code_not_run(
    load, name, known, tmp_path, monkeypatch
):
    write_model(tmp_path)
    (tmp_path / "own.py").write_text(MARK.format(mark=str(tmp_path / "was run")))
    named = {
        "AutoConfig": "own.C",
        "AutoModelForCausalLM": "own.M",
        "AutoTokenizer": ["own.T", None],
    }
    config = json.loads((tmp_path / name).read_text())
    if not known:
        config |= {"model_type": "own"} if name == "config.json" else {"tokenizer_class": "T"}
    (tmp_path / name).write_text(json.dumps(config | {"auto_map": named}))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(UserError, match=r"never run here.*auto_map in ") as told:
        load(str(tmp_path))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "was run").exists()


def test_everything_is_loaded_without_trust_in_its_code():
    found = [
        ast.unparse(node)
        for folder in ("src", "scripts")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"Auto\w+\.from_(pretrained|config)", ast.unparse(node.func))
    ]
    assert len(found) >= 7
    assert [call for call in found if "trust_remote_code=False" not in call] == []


def test_decoding_fields_of_the_model_folder_are_not_inherited(tmp_path):
    model = tiny_llama()
    model.save_pretrained(tmp_path)
    hub = {"do_sample": True, "temperature": 0.6, "top_p": 0.9}
    (tmp_path / "generation_config.json").write_text(json.dumps(hub))
    loaded = load_base(str(tmp_path), torch.float32)
    assert not loaded.generation_config.do_sample


def test_a_fingerprint_survives_half_precision_and_json():
    model = tiny_llama()
    before = json.loads(json.dumps(fingerprint(model)))
    assert same_base(before, fingerprint(model.to(torch.bfloat16)))


def test_one_changed_weight_makes_another_base_in_full_and_half_precision():
    model, other = tiny_llama(), tiny_llama()
    with torch.no_grad():
        other.model.layers[1].mlp.up_proj.weight[3, 5] += 0.01
    assert same_base(fingerprint(model), fingerprint(tiny_llama()))
    assert not same_base(fingerprint(model), fingerprint(other))
    assert not same_base(fingerprint(model), fingerprint(other.to(torch.bfloat16)))


def test_two_rows_exchanged_make_another_base():
    model, other = tiny_llama(), tiny_llama()
    with torch.no_grad():
        weight = other.model.layers[0].mlp.up_proj.weight
        weight[[0, 1]] = weight[[1, 0]]
    assert not same_base(fingerprint(model), fingerprint(other))


def test_a_base_in_fp16_is_known_again_up_to_rounding():
    model = tiny_llama()
    before = fingerprint(model)
    assert same_base(before, fingerprint(model.to(torch.float16)))
    assert not same_base(before, fingerprint(tiny_llama(seed=1).to(torch.float16)))


def test_a_fingerprint_of_an_earlier_version_is_still_compared():
    earlier = fingerprint(tiny_llama())
    del earlier["content"]
    assert same_base(earlier, fingerprint(tiny_llama()))
    assert not same_base(earlier, fingerprint(tiny_llama(seed=1)))


def test_another_base_of_the_same_shape_has_another_fingerprint():
    assert not same_base(fingerprint(tiny_llama(seed=0)), fingerprint(tiny_llama(seed=1)))


def test_a_base_of_another_shape_has_another_fingerprint():
    assert not same_base(fingerprint(tiny_llama()), fingerprint(tiny_llama(num_hidden_layers=3)))
