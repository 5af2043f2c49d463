import pytest
import torch
from peft import LoraConfig, get_peft_model

from denselora import parameter_groups
from denselora.adapter.parameter_groups import LORA_B
from tests.tiny import TARGETS, adapted_llama, tiny_llama


def names(model, group):
    wanted = set(map(id, group["params"]))
    return {name for name, p in model.named_parameters() if id(p) in wanted}


def test_the_cores_have_a_rate_of_their_own():
    model = adapted_llama()
    shared, own = parameter_groups(model, 0.1, ratio=0.25)
    assert shared["lr"] == 0.1 and own["lr"] == 0.025
    assert all("denselora_core" in name for name in names(model, own)) and own["params"]
    assert not any("denselora_core" in name for name in names(model, shared))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert names(model, own) | names(model, shared) == trained


def test_a_ratio_of_one_is_one_group_in_the_models_order():
    model = adapted_llama()
    (group,) = parameter_groups(model, 0.1)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(one is other for one, other in zip(group["params"], trained, strict=True))


def test_a_step_of_sgd_moves_the_cores_by_the_ratio_and_the_pairs_as_before(tokens):
    def moved(ratio):
        model = adapted_llama()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer = torch.optim.SGD(parameter_groups(model, 0.5, ratio))
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        return {name: p.detach() - before[name] for name, p in model.named_parameters()}

    once, quarter = moved(1), moved(0.25)
    for name, step in once.items():
        torch.testing.assert_close(quarter[name], step * (0.25 if "core" in name else 1))


def test_lora_plus_is_the_same_form_for_b():
    model = get_peft_model(tiny_llama(), LoraConfig(r=2, target_modules=TARGETS))
    rest, b = parameter_groups(model, 0.1, ratio=16, of=LORA_B)
    assert b["lr"] == pytest.approx(1.6) and all("lora_B" in name for name in names(model, b))
    assert all("lora_A" in name for name in names(model, rest))


@pytest.mark.parametrize("ratio", [0, -1, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_an_error(ratio):
    with pytest.raises(ValueError, match="above 0"):
        parameter_groups(adapted_llama(), 0.1, ratio)


def test_a_model_without_cores_is_an_error():
    with pytest.raises(ValueError, match="denselora_core"):
        parameter_groups(tiny_llama(), 0.1, 0.5)
