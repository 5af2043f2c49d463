import copy

import pytest
import torch

from denselora.world.muon import Muon, MuonAndAdamW, orthogonal
from tests.tiny import tiny_llama


@pytest.mark.parametrize("shape", [(64, 32), (32, 64)])
def test_three_steps_are_torchs_within_its_rounding_to_bfloat16(shape):
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), torch.randn(3, *shape)

    def moved(kind) -> torch.Tensor:
        matrix = torch.nn.Parameter(start.clone())
        optimizer = kind([matrix], lr=0.01, weight_decay=0.1)
        for gradient in gradients:
            matrix.grad = gradient.clone()
            optimizer.step()
        return matrix.detach() - start

    ours, torchs = moved(Muon), moved(torch.optim.Muon)
    assert (ours - torchs).norm() < 0.02 * torchs.norm()


def test_orthogonal_brings_all_singular_values_near_one_and_keeps_directions():
    torch.manual_seed(0)
    matrix = torch.randn(24, 16, dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    within = u.T @ orthogonal(matrix) @ v.T
    assert ((within.diagonal() > 0.6) & (within.diagonal() < 1.3)).all()
    torch.testing.assert_close(within, torch.diag(within.diagonal()), atol=1e-6, rtol=0)


def stepped(optimizer, model, steps):
    torch.manual_seed(0)
    for _ in range(steps):
        ids = torch.randint(0, model.config.vocab_size, (2, 8))
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_muon_moves_the_matrices_within_layers_and_adamw_the_rest():
    model = tiny_llama()
    optimizer = MuonAndAdamW(model, 1e-3, 0.0)
    matrices, rest = (
        {id(p) for group in part.param_groups for p in group["params"]} for part in optimizer.parts
    )
    assert id(model.model.layers[0].self_attn.q_proj.weight) in matrices
    for apart in (model.get_input_embeddings().weight, model.model.norm.weight):
        assert id(apart) in rest
    assert len(matrices) + len(rest) == len(list(model.parameters()))


def test_a_schedule_reaches_both_parts_also_after_a_state_was_loaded():
    model = tiny_llama()
    optimizer = MuonAndAdamW(model, 1e-3, 0.0)
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
    optimizer = MuonAndAdamW(whole, 1e-3, 0.0)
    stepped(optimizer, whole, 1)
    parts.load_state_dict(whole.state_dict())
    resumed = MuonAndAdamW(parts, 1e-3, 0.0)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    stepped(optimizer, whole, 2)
    stepped(resumed, parts, 2)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True)
    )
