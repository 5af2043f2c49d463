from peft import get_peft_model

from denselora.training.weights import matrices
from tests.adapter.architectures import tiny
from tests.tiny import adapted_llama, denselora_config


def test_modules_of_one_name_in_a_layer_and_pairs_of_their_own_are_all_there():
    model = get_peft_model(tiny("gpt2"), denselora_config(target_modules=["c_proj", "c_fc"]))
    assert {name for name in matrices(model) if name.startswith("M.1")} == {
        "M.1.attn-c_proj", "M.1.mlp-c_proj", "M.1.c_fc",
    }  # fmt: skip
    names = set(matrices(adapted_llama(share="none")))
    assert len(names) == 2 * 5 * 3 and "E.model-layers-1-self_attn-q_proj" in names
