import math

import pytest
import torch
from peft import get_peft_model
from torch import nn

from denselora.adapter.fused.cpu import Masks
from denselora.adapter.fused.operator import draw_seed
from denselora.adapter.layer import (
    ACTIVATIONS,
    CORES,
    DROPOUTS,
    DenseLoraLinear,
    denselora_delta,
)
from tests.tiny import adapted_llama, denselora_config, tiny_llama, train


def gelu(v):
    """Exact GELU from the normal distribution function, independent of torch's own."""
    return v * (1 + torch.erf(v / math.sqrt(2))) / 2


def random_branch(dtype=torch.float64):
    """x [3, 5, in 7] and E, M, D for r = 4, out 6."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (3, 5, 7), "E": (4, 7), "M": (4, 4), "D": (6, 4)}
    return {
        name: torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()
        for name, shape in shapes.items()
    }


def one_layer(**overrides) -> tuple[nn.Module, DenseLoraLinear]:
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(7, 6))
    model = get_peft_model(base, denselora_config(target_modules=["0"], **overrides))
    return model, model.base_model.model[0]


def written_out(layer: DenseLoraLinear, x: torch.Tensor) -> torch.Tensor:
    """The paper's equation in plain matrix products, from the layer's own weights."""
    W0, b0 = layer.base_layer.weight, layer.base_layer.bias
    E, M, D = (matrix.weight for matrix in layer.matrices("default"))
    alpha_over_r = 8 / 4
    return x @ W0.T + b0 + alpha_over_r * gelu(gelu(x @ E.T) @ M.T @ D.T)


@pytest.mark.parametrize("steps", [0, 3])
def test_layer_is_the_equation_forward_and_backward(steps):
    model, layer = one_layer()
    x = torch.randn(5, 7)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(steps):
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    trained = [matrix.weight for matrix in layer.matrices("default")]
    assert (trained[2].count_nonzero() > 0) == (steps > 0)

    results = []
    for forward in (lambda: model(x), lambda: written_out(layer, x)):
        y = forward()
        results.append((y, *torch.autograd.grad(y.square().sum(), trained)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


def test_delta_is_differentiable_in_every_argument():
    branch = random_branch()
    assert torch.autograd.gradcheck(
        lambda x, E, M, D: denselora_delta(
            x, E, M, D, 2.0, ("gelu", "gelu"), (0.0, 0.0, 0.0), True
        ),
        tuple(branch.values()),
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_keep_zero_and_have_a_slope_there(activation):
    zero = torch.zeros(1, requires_grad=True)
    value = ACTIVATIONS[activation](zero)
    value.backward()
    assert value.item() == 0
    assert zero.grad.item() in (0.5, 1.0)


def test_relu_has_the_values_of_torch_relu():
    x = torch.randn(1000)
    torch.testing.assert_close(ACTIVATIONS["relu"](x), torch.relu(x), rtol=0, atol=0)


def test_dropout_acts_on_input_encoded_vector_and_output():
    """With weights of ones and linear parts, each dropout leaves its own fingerprint."""
    p, in_, r, out = 0.5, 64, 1, 4096
    E, M, D = torch.ones(r, in_) / in_, torch.ones(r, r), torch.ones(out, r)
    torch.manual_seed(0)
    delta = denselora_delta(
        torch.ones(256, in_), E, M, D, 1.0, ("identity", "identity"), (p, p, p), True
    )
    # encoded vector: r = 1, so about half of the rows are zero throughout
    dead_rows = (delta == 0).all(dim=1)
    assert abs(dead_rows.float().mean() - p) < 0.1
    # output: in a living row about half of the elements are zero
    living = delta[~dead_rows]
    assert abs((living == 0).float().mean() - p) < 0.01
    # input: what is left in a row is 4 · (kept inputs · 2 / 64) of its own draw, 4 in the mean
    kept = living.max(dim=1).values
    assert kept.unique().numel() > 5
    assert abs(kept.mean() - 1 / (1 - p) ** 2) < 0.3
    assert abs(delta.mean() - 1) < 0.2


def test_dropout_is_off_in_eval_and_on_in_training():
    model, _ = one_layer(denselora_dropout=0.5, init_weights=False)
    x = torch.randn(5, 7)
    model.eval()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_scaling_is_alpha_over_r():
    _, layer = one_layer(r=4, denselora_alpha=6)
    assert layer.scaling["default"] == 1.5


def test_initialisation_is_kaiming_uniform_with_a_decoder_of_zeros():
    torch.manual_seed(0)
    model = get_peft_model(
        nn.Sequential(nn.Linear(1000, 500)), denselora_config(r=100, target_modules=["0"])
    )
    E, M, D = (matrix.weight for matrix in model.base_model.model[0].matrices("default"))
    for weight, fan_in in ((E, 1000), (M, 100)):  # a = √5 gives the bound 1 / √fan_in
        bound = 1 / math.sqrt(fan_in)
        assert weight.abs().max() <= bound
        assert abs(weight.std() - bound / math.sqrt(3)) < 0.02 * bound
    assert D.count_nonzero() == 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_fresh_adapter_leaves_the_logits_bit_identical(llama, tokens, activation):
    with torch.no_grad():
        before = llama(tokens).logits
        model = get_peft_model(llama, denselora_config(activation=activation))
        assert torch.equal(model(tokens).logits, before)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_decoders_learn_from_the_first_step_encoders_and_cores_from_the_second(
    llama, tokens, activation
):
    model = get_peft_model(llama, denselora_config(activation=activation))
    for step in range(2):
        model.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                moves = parameter.grad.abs().max() > 0
                assert moves == (step > 0 or "decoder" in name), (step, name)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter -= 10 * parameter.grad


def test_gradient_of_a_shared_pair_is_the_sum_over_its_layers(tokens):
    shared, single = adapted_llama(), adapted_llama(share="none")
    layers = {
        path: (layer, single.get_submodule(path))
        for path, layer in shared.named_modules()
        if isinstance(layer, DenseLoraLinear)
    }
    with torch.no_grad():
        for layer, twin in layers.values():
            for ours, theirs in zip(
                layer.matrices("default"), twin.matrices("default"), strict=True
            ):
                theirs.weight.copy_(ours.weight)
    for model in (shared, single):
        model(input_ids=tokens, labels=tokens).loss.backward()
    for part in (0, 2):
        for module_type in ("q_proj", "down_proj"):
            pairs = [pair for path, pair in layers.items() if path.endswith(module_type)]
            assert len(pairs) == 2
            total = sum(twin.matrices("default")[part].weight.grad for _, twin in pairs)
            ours = pairs[0][0].matrices("default")[part].weight.grad
            torch.testing.assert_close(ours, total)


def test_adapter_is_fp32_on_a_half_precision_base_and_keeps_its_output_dtype(llama, tokens):
    model = get_peft_model(llama.to(torch.bfloat16), denselora_config())
    train(model, tokens)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert model(tokens).logits.dtype == torch.bfloat16


@pytest.mark.parametrize("number, place", enumerate(DROPOUTS))
def test_each_dropout_can_stand_alone(number, place):
    options = {"denselora_dropout": 0.5, "dropout_at": [place], "init_weights": False}
    layer = one_layer(**options)[1].train()
    x = torch.randn(3, 7)
    E, M, D = (matrix.weight for matrix in layer.matrices("default"))
    torch.manual_seed(1)
    delta = layer(x) - layer.base_layer(x)
    torch.manual_seed(1)
    alone = [0.5 if name == place else 0.0 for name in DROPOUTS]
    dropped = Masks(draw_seed(x.device), alone).next(3 * 7, 3 * 4, 3 * 6)[number]
    dropped = torch.from_numpy(dropped)
    drop = [lambda t: t] * 3
    drop[number] = lambda t: 2 * t.flatten().index_fill(0, dropped, 0).view(t.shape)
    z = drop[1](gelu(drop[0](x) @ E.T))
    torch.testing.assert_close(delta, 2 * drop[2](gelu(z @ M.T @ D.T)))


def test_an_activation_can_stand_after_the_encoder_alone_or_the_decoder_alone():
    x = torch.randn(3, 7)
    for activation, decoder in (("gelu", "identity"), ("identity", "gelu")):
        options = {"activation": activation, "decoder_activation": decoder, "init_weights": False}
        _, layer = one_layer(**options)
        E, M, D = (matrix.weight for matrix in layer.matrices("default"))
        z = ACTIVATIONS[activation](x @ E.T)
        expected = 2 * ACTIVATIONS[decoder](z @ M.T @ D.T)
        torch.testing.assert_close(layer(x) - layer.base_layer(x), expected)
        with pytest.raises(ValueError, match="no weight can hold it"):
            layer.get_delta_weight("default")


def test_core_starts_as_told():
    cores = {init: one_layer(core_init=init)[1].denselora_core["default"].weight for init in CORES}
    torch.testing.assert_close(cores["identity"], torch.eye(4))
    torch.testing.assert_close(cores["orthogonal"] @ cores["orthogonal"].T, torch.eye(4))
    assert cores["kaiming"].abs().max() <= 0.5  # 1 / sqrt(r), by a = sqrt(5)


def test_a_base_in_fp64_is_merged_without_rounding_to_fp32():
    config = denselora_config(activation="identity", init_weights=False)
    model = get_peft_model(tiny_llama().double(), config)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    before = layer.base_layer.weight.clone()
    model.merge_adapter()
    assert not torch.equal(layer.base_layer.weight, before)
    model.unmerge_adapter()
    torch.testing.assert_close(layer.base_layer.weight, before, rtol=0, atol=1e-15)
