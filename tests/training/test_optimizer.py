import copy

import pytest
import torch

from denselora.errors import UserError
from denselora.training.optimizer import build_optimizer, check_optimizer
from tests.conftest import adapted_llama, tiny_llama


def stepped(optimizer, model, steps):
    torch.manual_seed(0)
    for _ in range(steps):
        ids = torch.randint(0, model.config.vocab_size, (2, 8))
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_muon_moves_the_matrices_within_layers_and_adamw_the_rest():
    model = tiny_llama()
    optimizer = build_optimizer(model, "muon", 1e-3, 0.0)
    matrices, rest = (
        {id(p) for group in part.param_groups for p in group["params"]} for part in optimizer.parts
    )
    assert id(model.model.layers[0].self_attn.q_proj.weight) in matrices
    for apart in (model.get_input_embeddings().weight, model.model.norm.weight):
        assert id(apart) in rest
    assert len(matrices) + len(rest) == len(list(model.parameters()))


def test_a_schedule_reaches_both_parts_also_after_a_state_was_loaded():
    model = tiny_llama()
    optimizer = build_optimizer(model, "muon", 1e-3, 0.0)
    stepped(optimizer, model, 1)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.detach().clone() for parameter in model.parameters()]
    stepped(optimizer, model, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_muon_goes_on_from_its_saved_state_to_the_bit():
    whole, parts = tiny_llama(), tiny_llama()
    parts.load_state_dict(whole.state_dict())
    optimizer = build_optimizer(whole, "muon", 1e-3, 0.0)
    stepped(optimizer, whole, 1)
    parts.load_state_dict(whole.state_dict())
    resumed = build_optimizer(parts, "muon", 1e-3, 0.0)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    stepped(optimizer, whole, 2)
    stepped(resumed, parts, 2)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True)
    )


def test_muon_takes_an_adapter_which_has_matrices_alone():
    model = adapted_llama()
    optimizer = build_optimizer(model, "muon", 1e-3, 0.0)
    before = [p.detach().clone() for p in model.parameters() if p.requires_grad]
    stepped(optimizer, model, 1)
    after = [p for p in model.parameters() if p.requires_grad]
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["adamw_8bit", "paged_adamw_8bit"])
def test_an_8bit_optimizer_without_a_gpu_is_refused(name):
    with pytest.raises(UserError, match="needs a GPU"):
        check_optimizer(name, torch.device("cpu"))
    check_optimizer("muon", torch.device("cpu"))
