"""Loss reductions: equal gradients however a global batch is split."""

import pytest
import torch
from torch.nn import functional as F

from denselora.data.dataset import IGNORED, collate
from denselora.training.batches import Batches
from denselora.training.loss import counted, row_weights, weighted_loss
from tests.conftest import adapted_llama

LENGTHS = (5, 9, 7, 12, 6, 6, 11, 8, 3, 10, 4, 9, 13, 7, 5, 8)


class Rows:
    """16 rows of different lengths, the first three tokens without loss."""

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        ids = [(number * 31 + place * 17) % 128 for place in range(LENGTHS[number])]
        return {"input_ids": ids, "labels": [IGNORED] * 3 + ids[3:]}


def gradients(reduction: str, rows_per_pass: int, micro_batch_size: int = 4, processes: int = 1):
    """Loss and gradients of the global batch, summed over its processes and passes."""
    model = adapted_llama()
    total = 0.0
    for process in range(processes):
        batches = Batches(Rows(), [range(16)], reduction, micro_batch_size, processes, process)
        for batch in batches.at(0, rows_per_pass).passes:
            loss = weighted_loss(model, batch)
            loss.backward()
            total += loss.item()
    return total, {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def assert_same(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    for name, gradient in one[1].items():
        torch.testing.assert_close(other[1][name], gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("rows_per_pass", "processes"), [(4, 1), (1, 1), (2, 2)])
@pytest.mark.parametrize("reduction", ["token_mean", "micro_batch_mean"])
def test_gradients_do_not_depend_on_the_split(reduction, rows_per_pass, processes):
    whole = gradients(reduction, 16)
    assert_same(whole, gradients(reduction, rows_per_pass, processes=processes))


def by_formula(groups: list[range]) -> float:
    """Mean over groups of rows of the mean over their counted tokens."""
    model, means = adapted_llama(), []
    for group in groups:
        losses = []
        for number in group:
            row = Rows()[number]
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0]
            targets = torch.tensor(row["labels"][1:])
            losses += F.cross_entropy(logits[:-1], targets, reduction="none")[2:].tolist()
        means.append(sum(losses) / len(losses))
    return sum(means) / len(means)


def test_token_mean_is_over_the_global_batch():
    assert gradients("token_mean", 4)[0] == pytest.approx(by_formula([range(16)]), rel=1e-5)


def test_micro_batch_mean_is_over_the_means_of_neighbours():
    groups = [range(start, start + 4) for start in (0, 4, 8, 12)]
    expected = by_formula(groups)
    assert gradients("micro_batch_mean", 4)[0] == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(by_formula([range(16)]), rel=1e-4)


def test_weights_of_a_row_without_loss_stay_finite():
    assert row_weights([0, 0], "micro_batch_mean", 1) == [0.5, 0.5]


def test_logits_are_asked_for_only_where_they_count():
    row = {"input_ids": list(range(16)), "labels": [IGNORED] * 12 + [12, 13, 14, 15]}
    seen = []

    class Model(torch.nn.Module):
        def forward(self, logits_to_keep, **inputs):
            seen.append(logits_to_keep)
            return adapted_llama()(logits_to_keep=logits_to_keep, **inputs)

    weighted_loss(Model(), collate([row], pad_id=0, weights=[1.0]))
    assert seen == [5]  # four labels, and the last position, which predicts nothing
    assert counted(row) == 4


def test_nothing_reads_the_pad_id():
    rows = [Rows()[number] for number in (0, 3)]
    losses, grads = [], []
    for pad_id in (0, 77):
        model = adapted_llama()
        loss = weighted_loss(model, collate(rows, pad_id, weights=[0.5, 0.5]))
        loss.backward()
        losses.append(loss.detach())
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    assert torch.equal(*losses)
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))
