"""The operator against the plain version in layer.py, given the same masks."""

import math
from itertools import product

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from denselora.adapter.fused import cpu
from denselora.adapter.fused.cpu import Masks
from denselora.adapter.fused.operator import add_branch, draw_seed
from denselora.adapter.layer import ACTIVATIONS, denselora_delta
from tests.adapter.fused.branch import DROPOUTS, NAMES, operands, reference, result

GELU = ("gelu", "gelu")


def masks(seed, x, E, D, dropouts):
    """What each dropout multiplies by, in the shapes of x, z and d."""
    drawn = cpu.masks(seed, math.prod(x.shape[:-1]), (len(E.T), len(E), len(D)), dropouts)
    return [mask.view(*x.shape[:-1], -1) for mask in drawn]


def ours(activations=GELU, dropouts=DROPOUTS, seed=7, training=True):
    def function(y, *leaves):
        torch.manual_seed(seed)
        return add_branch(y * 1, *leaves, 2.0, activations, dropouts, training)

    return function


def seed_drawn(seed=7):
    torch.manual_seed(seed)
    return draw_seed(torch.device("cpu"))


def test_gradients_are_those_of_finite_differences():
    leaves, _ = operands(torch.float64)
    for activations, dropouts in ((GELU, DROPOUTS), (GELU, (0.0,) * 3), (("silu",) * 2, DROPOUTS)):
        assert torch.autograd.gradcheck(ours(activations, dropouts), leaves)


@pytest.mark.parametrize("activations", list(product(ACTIVATIONS, ACTIVATIONS)))
def test_every_pair_of_activations_is_the_plain_version(activations):
    leaves, grad = operands(torch.float64)
    drawn = masks(seed_drawn(), leaves[1], leaves[2], leaves[4], DROPOUTS)
    expected = result(lambda *t: reference(t, 2.0, activations, drawn), leaves, grad)
    for actual, wanted in zip(result(ours(activations), leaves, grad), expected, strict=True):
        torch.testing.assert_close(actual, wanted)


@pytest.mark.parametrize("dropouts", list(product((0.0, 0.5), repeat=3)))
def test_each_dropout_can_be_left_out(dropouts):
    leaves, grad = operands(torch.float64)
    drawn = masks(seed_drawn(), leaves[1], leaves[2], leaves[4], dropouts)
    expected = result(lambda *t: reference(t, 2.0, GELU, drawn), leaves, grad)
    for actual, wanted in zip(result(ours(GELU, dropouts), leaves, grad), expected, strict=True):
        torch.testing.assert_close(actual, wanted)


def test_the_reference_here_is_the_plain_version():
    leaves, _ = operands(torch.float64)
    ones = [torch.ones(())] * 3
    plain = leaves[0] + denselora_delta(*leaves[1:], 2.0, GELU, (0.0,) * 3, True)
    assert torch.equal(reference(leaves, 2.0, GELU, ones), plain)


def test_relu_has_slope_one_half_at_zero():
    leaves, grad = operands(torch.float64)
    leaves[4].data.zero_()
    actual, expected = (
        result(lambda *t, f=f: f(*t), leaves, grad)
        for f in (
            ours(("relu", "relu"), (0.0,) * 3),
            lambda *t: t[0] + denselora_delta(*t[1:], 2.0, ("relu", "relu"), (0.0,) * 3, True),
        )
    )
    assert actual[5].count_nonzero()
    for ours_, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours_, theirs)


@pytest.mark.parametrize(
    ("adapter", "half"),
    [
        (torch.float32, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.bfloat16, torch.bfloat16),
    ],
    ids=["fp32", "fp32 on bf16", "bf16"],
)
def test_rounding_is_no_worse_than_the_plain_version_s(adapter, half):
    leaves, grad = operands(adapter, half, tokens=(64,), features=(48, 40), r=8)
    drawn = masks(seed_drawn(), leaves[1], leaves[2], leaves[4], DROPOUTS)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    truth = result(lambda *t: reference(t, 2.0, GELU, drawn), exact, grad.double())
    plain = result(lambda *t: reference(t, 2.0, GELU, drawn), leaves, grad)
    fused = result(ours(), leaves, grad)
    for name, t, p, f in zip(("sum", *NAMES), truth, plain, fused, strict=True):
        assert f.dtype == p.dtype
        assert (f - t).norm() <= 1.5 * (p - t).norm(), name


def test_positions_are_distinct_ascending_and_inside():
    positions = torch.from_numpy(Masks(torch.tensor(3), [0.3]).next(100_000)[0])
    assert positions[0] >= 0 and positions[-1] < 100_000
    assert (positions.diff() > 0).all()


@pytest.mark.parametrize("p", [1e-12, 1e-4, 0.05, 0.5, 0.95])
def test_each_mask_drops_at_its_rate(p):
    n = 1_000_000
    for dropped in Masks(torch.tensor(11), [p] * 3).next(n, n, n):
        assert abs(len(dropped) - n * p) <= 5 * math.sqrt(n * p * (1 - p))


def test_every_position_is_dropped_at_the_rate():
    """Neighbouring seeds, and the first and the last element, which gaps could get wrong."""
    n, p, draws = 64, 0.25, 4000
    counts = torch.zeros(n)
    for seed in range(draws):
        counts[Masks(torch.tensor(seed), [p]).next(n)[0]] += 1
    deviation = (counts / draws - p) / math.sqrt(p * (1 - p) / draws)
    assert deviation.abs().max() < 4.5
    assert 0.6 < deviation.square().mean() < 1.6


def test_masks_are_independent_of_each_other_of_other_layers_and_of_other_steps():
    n, p = 1_000_000, 0.05
    dropped = []
    for seed in (seed_drawn(), draw_seed(torch.device("cpu"))):  # a layer or a step draws its own
        masks = Masks(seed, [p] * 3)
        for _ in range(2):  # blocks
            dropped += map(torch.from_numpy, masks.next(n, n, n))
    for a, b in product(range(len(dropped)), repeat=2):
        if a < b:
            both = torch.isin(dropped[a], dropped[b]).sum()
            assert abs(both - n * p * p) < 5 * math.sqrt(n * p * p), (a, b)
    for lag in (1, 2, 7, 576):  # and within a mask
        both = torch.isin(dropped[0], dropped[0] + lag).sum()
        assert abs(both - n * p * p) < 5 * math.sqrt(n * p * p), lag


def test_the_seed_comes_from_torch_s_generator():
    leaves, _ = operands()
    assert torch.equal(ours(seed=1)(*leaves), ours(seed=1)(*leaves))
    assert not torch.equal(ours(seed=1)(*leaves), ours(seed=2)(*leaves))
    torch.manual_seed(1)
    branch = (*leaves, 2.0, GELU, DROPOUTS, True)
    assert not torch.equal(add_branch(*branch), add_branch(*branch))


def test_a_layer_of_many_blocks_is_the_plain_version(monkeypatch):
    leaves, grad = operands(torch.float64)
    whole = ours(GELU, (0.0,) * 3)(*leaves)
    monkeypatch.setattr(cpu, "BLOCK_ELEMENTS", 28)  # four of the fifteen tokens
    torch.testing.assert_close(ours(GELU, (0.0,) * 3)(*leaves), whole)
    drawn = masks(seed_drawn(), leaves[1], leaves[2], leaves[4], DROPOUTS)
    expected = result(lambda *t: reference(t, 2.0, GELU, drawn), leaves, grad)
    for actual, wanted in zip(result(ours(), leaves, grad), expected, strict=True):
        torch.testing.assert_close(actual, wanted)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_recomputes_the_same_masks(use_reentrant):
    leaves, grad = operands()
    expected = result(ours(), leaves, grad)
    torch.manual_seed(7)
    total = checkpoint(
        lambda y, *t: add_branch(y * 1, *t, 2.0, GELU, DROPOUTS, True),
        *leaves,
        use_reentrant=use_reentrant,
    )
    total.backward(grad)
    for actual, wanted in zip((total, *(t.grad for t in leaves)), expected, strict=True):
        assert torch.equal(actual, wanted)


def test_outside_training_nothing_is_dropped_and_no_random_number_used():
    leaves, _ = operands()
    state = torch.get_rng_state()
    total = add_branch(*leaves, 2.0, GELU, DROPOUTS, False)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(total, reference(leaves, 2.0, GELU, [torch.ones(())] * 3))


def test_the_sum_takes_the_memory_of_y_only_where_y_is_no_one_else_s():
    (y, x, *weights), _ = operands()
    branch = (*weights, 2.0, GELU, DROPOUTS, True)
    fresh = y * 1
    assert add_branch(fresh, x, *branch).data_ptr() == fresh.data_ptr()
    for kept in (y, (y * 1).view(15, 6), (y * 1).transpose(0, 1)):
        before = kept.clone()
        flat = x.reshape(*kept.shape[:-1], -1)
        assert add_branch(kept, flat, *branch).data_ptr() != kept.data_ptr()
        assert torch.equal(kept, before)


def test_inference_mode_before_training_does_no_harm():
    cpu._memory.__dict__.clear()
    leaves, grad = operands()
    with torch.inference_mode():
        total = ours(training=False)(*leaves)
    assert total.is_inference()
    assert all(torch.isfinite(t).all() for t in result(ours(), leaves, grad))


def test_only_x_and_one_r_vector_per_token_are_kept():
    leaves, _ = operands(tokens=(2, 50), features=(40, 30))
    weights = {leaf.untyped_storage().data_ptr() for leaf in leaves[2:]}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        total = ours()(*leaves)
    seed = 8
    assert sum(kept[key] for key in kept.keys() - weights) == 100 * (40 + 4) * 4 + seed
    assert total.requires_grad


def test_odd_layouts_and_no_tokens_at_all():
    leaves, _ = operands()
    y, x, *weights = leaves
    turned = [t.detach().transpose(0, 1).contiguous().transpose(0, 1) for t in (y, x)]
    assert torch.equal(ours()(*turned, *weights), ours()(*leaves))
    empty = [t.detach()[:0].requires_grad_() for t in (y, x)]
    total = ours()(*empty, *weights)
    assert total.shape == (0, 5, 6)
    assert all(not g.any() for g in torch.autograd.grad(total.sum(), weights))


def test_a_frozen_input_gets_no_gradient():
    (y, x, *weights), grad = operands()
    y, x = y.detach(), x.detach()
    actual = torch.autograd.grad(ours()(y, x, *weights), weights, grad)
    expected = result(ours(), [y.requires_grad_(), x.requires_grad_(), *weights], grad)[3:]
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a, b)


def test_torch_compile_sees_one_operator_and_draws_the_same_masks():
    leaves, grad = operands()
    expected = result(ours(), leaves, grad)
    graphs = []

    def backend(graph, _):
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(
        lambda *t: add_branch(*t, 2.0, GELU, DROPOUTS, True), backend=backend, fullgraph=True
    )
    torch.manual_seed(7)
    for actual, wanted in zip(result(compiled, leaves, grad), expected, strict=True):
        assert torch.equal(actual, wanted)
    assert len(graphs) == 1 and sum("denselora.branch" in target for target in graphs[0]) == 1


def test_operator_obeys_torch_s_rules():
    """Schema, fake tensors, autograd registration and AOT dispatch, by torch's own checker."""
    leaves, _ = operands()
    for seed in (None, torch.tensor(5)):
        arguments = (*leaves, seed, 2.0, *GELU, *DROPOUTS)
        torch.library.opcheck(torch.ops.denselora.branch.default, arguments)


def test_meta_tensors_give_shapes():
    leaves, _ = operands()
    total = add_branch(*(leaf.detach().to("meta") for leaf in leaves), 2.0, GELU, DROPOUTS, True)
    assert total.is_meta and total.shape == leaves[0].shape


def test_a_second_derivative_is_refused():
    leaves, _ = operands()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(ours()(*leaves).sum(), leaves[1], create_graph=True)
