import json

import pytest
from peft import PeftConfig, get_peft_model

from denselora import DenseLoraConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("r", 0),
        ("r", -1),
        ("r", 1.5),
        ("r", True),
        ("denselora_alpha", 0),
        ("denselora_alpha", True),
        ("denselora_alpha", float("nan")),
        ("denselora_alpha", float("inf")),
        ("denselora_dropout", 1.0),
        ("denselora_dropout", -0.1),
        ("activation", "tanh"),
        ("decoder_activation", "tanh"),
        ("dropout_at", ["output"]),
        ("dropout_at", "input"),
        ("core_init", "zero"),
        ("share", "all"),
        ("bias", "some"),
        ("layers_pattern", "layers"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_the_field(field, value):
    with pytest.raises(ValueError, match=field) as error:
        DenseLoraConfig(target_modules=["q_proj"], **{field: value})
    assert "\n" not in str(error.value)


def test_layer_indices_with_a_regular_expression_are_refused():
    with pytest.raises(ValueError, match="layers_to_transform needs a list"):
        DenseLoraConfig(target_modules=r".*\.q_proj", layers_to_transform=[0])


def test_alpha_is_twice_r_by_default_as_in_the_paper():
    assert DenseLoraConfig(r=8).denselora_alpha == 16
    assert DenseLoraConfig(r=8, denselora_alpha=8).denselora_alpha == 8


def test_activation_and_dropout_stand_in_every_place_unless_told():
    config = DenseLoraConfig(denselora_dropout=0.1)
    assert (config.activations, config.dropouts) == (("gelu", "gelu"), (0.1, 0.1, 0.1))
    config = DenseLoraConfig(
        activation="identity", decoder_activation="gelu", dropout_at=["encoded"]
    )
    assert (config.activations, config.dropouts) == (("identity", "gelu"), (0, 0.05, 0))


def test_targets_that_match_nothing_are_refused_by_name(llama):
    with pytest.raises(ValueError, match="query_key_value"):
        get_peft_model(llama, DenseLoraConfig(target_modules=["query_key_value"]))


def test_a_layer_that_is_not_linear_is_refused_by_name(llama):
    with pytest.raises(ValueError, match="linear layers only, not Embedding"):
        get_peft_model(llama, DenseLoraConfig(target_modules=["embed_tokens"]))


def test_config_survives_its_folder_and_the_file_is_reproducible(tmp_path):
    config = DenseLoraConfig(
        r=8, target_modules=["v_proj", "q_proj"], exclude_modules=["lm_head"], activation="silu"
    )
    config.save_pretrained(tmp_path)
    loaded = PeftConfig.from_pretrained(tmp_path)
    assert type(loaded) is DenseLoraConfig
    assert loaded == config
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["target_modules"] == ["q_proj", "v_proj"]
    assert saved["peft_type"] == "DENSELORA"
