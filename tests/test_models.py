import json

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from denselora.errors import UserError
from denselora.models import check_access, fingerprint, load_base, same_base
from tests.tiny import tiny_llama


def test_a_missing_folder_is_named():
    with pytest.raises(UserError, match=r"model.path=\./nowhere.*no such folder"):
        check_access("./nowhere")


def test_a_folder_without_weights_says_what_it_needs(tmp_path):
    tiny_llama().config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_base(str(tmp_path), torch.float32)


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


def test_another_base_of_the_same_shape_has_another_fingerprint():
    assert not same_base(fingerprint(tiny_llama(seed=0)), fingerprint(tiny_llama(seed=1)))


def test_a_base_of_another_shape_has_another_fingerprint():
    assert not same_base(fingerprint(tiny_llama()), fingerprint(tiny_llama(num_hidden_layers=3)))
