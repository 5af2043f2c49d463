import numpy as np
import pytest

from denselora.errors import UserError
from denselora.results.change import pooled, read_change, write_change


def test_change_is_the_absolute_difference(tmp_path):
    start = {"M.0.q_proj": np.array([[1.0, 2.0], [3.0, 4.0]])}
    end = {"M.0.q_proj": np.array([[1.5, 1.0], [3.0, 2.0]])}
    write_change(tmp_path / "change.npz", start, end)
    back = read_change(tmp_path / "change.npz")
    assert back["M.0.q_proj"].tolist() == [[0.5, 1.0], [0.0, 2.0]]


@pytest.mark.parametrize("shape", [(16, 128), (64, 3), (100, 7), (130, 65)])
def test_long_sides_are_averaged_over_neighbours(shape):
    matrix = np.random.default_rng(0).random(shape)
    small = pooled(matrix)
    assert small.shape == tuple(min(64, side) for side in shape)
    edges = [np.linspace(0, n, m + 1).astype(int) for n, m in zip(shape, small.shape, strict=True)]
    for i, j in [(0, 0), (small.shape[0] - 1, small.shape[1] - 1), (1, 2)]:
        block = matrix[edges[0][i] : edges[0][i + 1], edges[1][j] : edges[1][j + 1]]
        assert small[i, j] == pytest.approx(block.mean())


def test_file_that_is_no_summary_is_reported(tmp_path):
    path = tmp_path / "change.npz"
    path.write_text("hello")
    with pytest.raises(UserError, match=r"change\.npz: not a summary of change"):
        read_change(path)
