"""Loss reductions: equal gradients however a global batch is split, and as if it were padded."""

import pytest
import torch
from torch.nn import functional as F

from denselora.data.batch import IGNORED, counted, pack
from denselora.training import loss as loss_module
from denselora.training.batches import spread
from denselora.training.loss import frozen_head, row_weights, weighted_loss
from tests.tiny import adapted_llama
from tests.training.global_batch import (
    ALL,
    Rows,
    global_batch,
    model_for_training,
    trained_gradients,
)


def gradients(reduction: str, pass_tokens: int, processes: int = 1, whole_logits: bool = False):
    """Loss and gradients of the global batch, summed over its processes and passes."""
    model, total = model_for_training(), 0.0
    head = None if whole_logits else frozen_head(model)
    for process in range(processes):
        batches = global_batch(reduction, processes=processes, process=process)
        for batch in batches.at(0, pass_tokens).passes:
            loss = weighted_loss(model, batch, head)
            loss.backward()
            total += loss.item()
    return total, trained_gradients(model)


def padded_gradients(reduction: str):
    """The same as the authors' loop has it: micro-batches of 4 rows, padded on the left, all
    logits; only padding is nowhere predicted from and nowhere predicted."""
    model, total = adapted_llama(), 0.0
    all_counted = sum(counted(Rows()[number]) for number in range(16))
    for first in range(0, 16, 4):
        rows = [Rows()[number] for number in range(first, first + 4)]
        width = max(len(row["input_ids"]) for row in rows)
        ids, labels, mask = (torch.full((4, width), fill) for fill in (0, IGNORED, 0))
        for at, row in enumerate(rows):
            start = width - len(row["input_ids"])
            ids[at, start:] = torch.tensor(row["input_ids"])
            labels[at, start:] = torch.tensor(row["labels"])
            mask[at, start:] = 1
        positions = (mask.cumsum(1) - 1).clip(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        summed = F.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
        )
        share = (labels[:, 1:] != IGNORED).sum() * 4
        loss = summed / (all_counted if reduction == "token_mean" else share)
        loss.backward()
        total += loss.item()
    return total, trained_gradients(model)


def assert_same(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    for name, gradient in one[1].items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(other[1][name], gradient, rtol=1e-4, atol=1e-7)
        assert (other[1][name] - gradient).norm() <= 1e-5 * gradient.norm()


@pytest.mark.parametrize("reduction", ["token_mean", "micro_batch_mean"])
def test_gradients_are_those_of_padded_micro_batches(reduction):
    assert_same(padded_gradients(reduction), gradients(reduction, ALL))


@pytest.mark.parametrize(("pass_tokens", "processes"), [(40, 1), (1, 1), (20, 2)])
@pytest.mark.parametrize("reduction", ["token_mean", "micro_batch_mean"])
def test_gradients_do_not_depend_on_the_split(reduction, pass_tokens, processes):
    whole = gradients(reduction, ALL)
    assert_same(whole, gradients(reduction, pass_tokens, processes))


@pytest.mark.parametrize("logits_at_once", [1, 3 * 128, 2**23])
def test_gradients_do_not_depend_on_the_pieces_of_the_loss(monkeypatch, logits_at_once):
    monkeypatch.setitem(loss_module.LOGITS_AT_ONCE, "cpu", logits_at_once)
    whole = gradients("token_mean", ALL, whole_logits=True)
    assert_same(whole, gradients("token_mean", ALL))


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
    assert gradients("token_mean", 40)[0] == pytest.approx(by_formula([range(16)]), rel=1e-5)


def test_micro_batch_mean_is_over_the_means_of_neighbours():
    groups = [range(start, start + 4) for start in (0, 4, 8, 12)]
    expected = by_formula(groups)
    assert gradients("micro_batch_mean", 40)[0] == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(by_formula([range(16)]), rel=1e-4)


def test_weights_of_a_row_without_loss_stay_finite():
    assert row_weights([0, 0], "micro_batch_mean", 1) == [0.5, 0.5]


def test_a_pass_without_loss_gives_zero_gradients():
    model = model_for_training()
    batch = pack([{"input_ids": [1, 2, 3], "labels": [IGNORED] * 3}], [1.0])
    loss = weighted_loss(model, batch, frozen_head(model))
    loss.backward()
    assert loss == 0 and all(not g.any() for g in trained_gradients(model).values())


@pytest.mark.parametrize("pieces", [True, False])
def test_logits_are_made_only_where_they_count(pieces):
    model, seen = model_for_training(), []
    head = frozen_head(model)
    make_logits = head.forward

    def record(hidden):
        seen.append(hidden.shape[-2])
        return make_logits(hidden)

    head.forward = record
    row = {"input_ids": list(range(16)), "labels": [IGNORED] * 12 + [12, 13, 14, 15]}
    weighted_loss(model, pack([row], [1.0]), head if pieces else None)
    assert seen == [4]
    assert head.forward is record


def test_a_trained_or_followed_head_makes_its_logits_at_once():
    model = model_for_training()
    assert frozen_head(model) is model.get_output_embeddings()
    model.get_output_embeddings().requires_grad_(True)
    assert frozen_head(model) is None

    capped = model_for_training()
    base = capped.get_base_model()
    forward = base.forward

    def cap(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = 30 * torch.tanh(output.logits / 30)
        return output

    base.forward = cap
    assert frozen_head(capped) is None


def test_passes_are_few_even_and_as_many_for_each_process():
    lengths = [10, 2, 8, 4, 6, 6]
    assert [sum(lengths[at] for at in part) for part in spread(lengths, 12)] == [12, 12, 12]
    assert spread(lengths, 36) == [[0, 2, 4, 5, 3, 1]]
    assert len(spread(lengths, 30, processes=2)) == 2
    assert len(spread(lengths, 17, processes=2)) == 4
    assert sorted(map(len, spread([300, *[20] * 15], 256))) == [1, 7, 8]
    assert sorted(spread(lengths, 1)) == [[0], [1], [2], [3], [4], [5]]


def test_losses_are_added_up_in_fp32_under_autocast():
    torch.manual_seed(0)
    logits, labels = torch.randn(2000, 64) * 8, torch.randint(0, 64, (2000,))
    weights = torch.rand(2000) / 2000
    expected = loss_module._weighted(logits, labels, weights)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss_module._weighted(logits, labels, weights)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
