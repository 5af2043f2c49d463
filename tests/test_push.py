"""scripts/push.py against a stand-in of the hub."""

import pytest
import torch
from huggingface_hub import constants
from peft import get_peft_model
from safetensors.torch import load_file

from denselora import DenseLoraConfig
from denselora.training.card import CARD
from tests.hub import READ_ONLY, TOKEN, running_hub
from tests.tiny import tiny_llama


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "adapter"
    get_peft_model(tiny_llama(), DenseLoraConfig(r=4)).save_pretrained(folder)
    (folder / "state.pt").write_bytes(b"not for others")
    (folder / "checkpoint-500").mkdir()
    (folder / "checkpoint-500" / "trainer_state.json").write_text("{}")
    return folder


def test_an_adapter_is_uploaded_whole_into_a_repository_of_its_own(hub, script, adapter):
    code, out, err = script("push", f"adapter_path={adapter}", "repo=ann/mini-adapter")
    assert code == 0, err
    assert out.strip().splitlines()[-1] == f"{hub.address}/ann/mini-adapter"
    assert hub.repos == {"ann/mini-adapter": "private"}
    assert hub.files == {
        name: (adapter / name).read_bytes()
        for name in (CARD, "adapter_config.json", "adapter_model.safetensors")
    }
    assert len(hub.messages) == 1


def test_weights_that_are_a_pickle_are_uploaded_too(hub, script, adapter):
    weights = adapter / "adapter_model.safetensors"
    torch.save(load_file(weights), adapter / "adapter_model.bin")
    weights.unlink()
    code, _, err = script("push", f"adapter_path={adapter}", "repo=ann/mini-adapter")
    assert code == 0, err
    assert "adapter_model.bin" in hub.files


def test_a_second_push_goes_into_the_same_repository(hub, script, adapter):
    for _ in range(2):
        code, _, err = script(
            "push", f"adapter_path={adapter}", "repo=ann/mini-adapter", "private=false"
        )
        assert code == 0, err
    assert hub.repos == {"ann/mini-adapter": "public"} and len(hub.messages) == 2


@pytest.mark.parametrize(
    ("token", "message"),
    [("hf_unknown", "doesn't know the token"), (READ_ONLY, "may not write there")],
)
def test_a_token_that_the_hub_refuses_is_named(hub, script, adapter, monkeypatch, token, message):
    monkeypatch.setenv("HF_TOKEN", token)
    code, _, err = script("push", f"adapter_path={adapter}", "repo=ann/mini-adapter")
    assert code == 2 and message in err and err.count("\n") == 1
    assert not hub.files


def test_without_a_token_nothing_is_asked_of_the_hub(hub, script, adapter, monkeypatch):
    monkeypatch.setattr("denselora.push.get_token", lambda: None)
    code, _, err = script("push", f"adapter_path={adapter}", "repo=ann/mini-adapter")
    assert code == 2 and "hf auth login" in err and err.count("\n") == 1
    assert not hub.repos


def test_a_card_that_the_hub_refuses_is_named(hub, script, adapter):
    (adapter / CARD).write_text("---\n: [\n---\n")
    code, _, err = script("push", f"adapter_path={adapter}", "repo=ann/mini-adapter")
    assert code == 2 and "README.md" in err and err.count("\n") == 1


def test_a_hub_that_does_not_answer_is_named(script, adapter, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    code, _, err = script("push", f"adapter_path={adapter}", "repo=ann/mini-adapter")
    assert code == 2 and "can't be reached" in err and err.count("\n") == 1
