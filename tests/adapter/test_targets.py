import warnings

import pytest
from peft import LoraConfig, get_peft_model

from denselora.adapter.targets import unmatched
from tests.tiny import denselora_config, tiny_llama


def test_every_name_that_matches_nothing_is_named():
    config = LoraConfig(
        target_modules=["q_proj", "k_porj", "proj"],
        modules_to_save=["lm_head", "score"],
        layers_to_transform=[1, 2],
        exclude_modules=["o_proj", "x_proj"],
    )
    assert unmatched(config, tiny_llama()) == [
        "target_modules: k_porj",
        "target_modules: proj",
        "layers_to_transform: 2",
        "modules_to_save: score",
        "exclude_modules: x_proj",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"target_modules": "all-linear", "exclude_modules": r".*\.mlp\..*"},
        {"target_modules": r".*layers\.0\..*q_proj"},
        {"target_modules": ["model.layers.1.self_attn.q_proj"], "layers_to_transform": 1},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    ],
)
def test_names_that_all_match_are_no_fault(fields):
    assert unmatched(denselora_config(**fields), tiny_llama()) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        get_peft_model(tiny_llama(), denselora_config(**fields))


def test_in_python_a_name_that_matches_nothing_is_a_warning_for_each_adapter():
    with pytest.warns(UserWarning, match="nothing in the model matches target_modules: k_porj"):
        model = get_peft_model(tiny_llama(), denselora_config(target_modules=["q_proj", "k_porj"]))
    with pytest.warns(UserWarning, match="layers_to_transform: 5"):
        model.add_adapter("second", denselora_config(layers_to_transform=[0, 5]))
