import torch

from denselora.data.batch import IGNORED, pack


def test_rows_of_a_pass_lie_end_to_end():
    rows = [
        {"input_ids": [5, 6, 7], "labels": [IGNORED, 6, 7]},
        {"input_ids": [8, 9, 10, 11], "labels": [IGNORED, IGNORED, 10, 11]},
    ]
    batch = pack(rows, weights=[0.5, 0.25])
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9, 10, 11]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert batch.starts.tolist() == [0, 3, 7] and batch.lengths == (3, 4)
    assert batch.labels.tolist() == [6, 7, 10, 11]
    assert batch.columns.tolist() == [0, 1, 4, 5]  # the token before each
    assert batch.weights.tolist() == [0.5, 0.5, 0.25, 0.25]
    assert batch.weights.dtype == torch.float32 and batch.starts.dtype == torch.int32


def test_halves_are_the_rows_packed_apart():
    rows = [
        {"input_ids": [start, start + 1, start + 2][:length], "labels": [IGNORED, 5, 6][:length]}
        for start, length in ((10, 3), (20, 2), (30, 3))
    ]
    weights = [0.5, 0.25, 0.125]
    found = pack(rows, weights).halves()
    apart = pack(rows[:1], weights[:1]), pack(rows[1:], weights[1:])
    for half, alone in zip(found, apart, strict=True):
        for name, value in vars(alone).items():
            one = getattr(half, name)
            assert torch.equal(one, value) if isinstance(value, torch.Tensor) else one == value


def test_no_row_predicts_the_first_token_of_the_next():
    rows = [{"input_ids": [5, 6], "labels": [5, 6]}, {"input_ids": [7, 8], "labels": [7, 8]}]
    assert pack(rows, weights=[1.0, 1.0]).labels.tolist() == [6, 8]
