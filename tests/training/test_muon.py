import pytest
import torch

from denselora.training.muon import Muon, orthogonal


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
