"""When a layer uses the fused operator, and that a wrong one is never used."""

import re
import warnings

import pytest
import torch

import denselora
from denselora import use_fused
from denselora.adapter import layer
from denselora.adapter.fused import choice, cpu, operator
from tests.tiny import adapted_llama

TOKENS = torch.arange(12).view(2, 6)


@pytest.fixture(autouse=True)
def unproved(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(choice, "_found", {})
    monkeypatch.setattr(choice, "_mode", "auto")


@pytest.fixture
def calls(monkeypatch):
    """Of the operator by layers, and of the plain version by layers and the proof, by name."""
    found = []

    def noting(name, function):
        def noted(*args):
            found.append(name)
            return function(*args)

        return noted

    monkeypatch.setattr(layer, "add_branch", noting("fused", operator.add_branch))
    monkeypatch.setattr(layer, "denselora_delta", noting("plain", layer.denselora_delta))
    return found


def run(model):
    found = model(TOKENS).logits
    found.sum().backward()
    return found


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_a_right_operator_is_used_without_a_word(calls, mode):
    with use_fused(mode), warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*fused operator")
        run(adapted_llama().train())
    assert calls.count("fused") == 10


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_an_operator_is_proved_within_a_checkpointed_block(calls, use_reentrant):
    model = adapted_llama().train()
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*fused operator")
        run(model)
    assert calls.count("fused") == 20  # forward, and again for backward


def test_a_proof_holds_for_one_setting_of_tf32(calls, monkeypatch):
    run(adapted_llama())
    proofs = len(choice._found)
    monkeypatch.setattr(operator, "is_tf32_allowed", lambda: True)
    run(adapted_llama())
    assert len(choice._found) == 2 * proofs


def test_never_trains_what_stands_in_layer_py(calls):
    with use_fused("never"):
        run(adapted_llama())
    assert calls == ["plain"] * 10


def broken(monkeypatch, name, change):
    right = getattr(cpu, name)

    def wrong(*args):
        return change(right, *args)

    monkeypatch.setattr(cpu, name, wrong)


def off_by_a_percent(right, y, h, *args):
    right(y, h, *args)
    y += 0.01 * y.std()


def forgets_a_mask(right, y, h, x, E, M, D, seed, scaling, one, two, on_x, on_z, on_d):
    right(y, h, x, E, M, D, seed, scaling, one, two, on_x, on_z, 0.0)


def crashes(right, *args):
    raise RuntimeError("out of shared memory\nand more")


def wrong_gradient(right, *args):
    x, E, M, D = right(*args)
    return x, E, 1.01 * M, D


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("add", off_by_a_percent, "the sum is off by .* without dropout"),
        ("add", forgets_a_mask, "the sum is off by .* with dropout"),
        ("add", crashes, "RuntimeError: out of shared memory"),
        ("gradients", wrong_gradient, "the gradient of M is off by 1.0e-02 without dropout"),
    ],
)
def test_a_wrong_operator_is_reported_once_and_replaced(monkeypatch, calls, name, change, said):
    model = adapted_llama()
    with use_fused("never"):
        wanted = run(model).detach()
    calls.clear()
    broken(monkeypatch, name, change)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = run(model)
        run(model)
    assert torch.equal(got, wanted)
    assert "fused" not in calls
    (one,) = [w for w in caught if "fused operator" in str(w.message)]
    assert re.search(said, str(one.message))
    assert "on cpu (torch.float32, r=4, gelu and gelu)" in str(one.message)
    with use_fused("always"), pytest.raises(RuntimeError, match=said):
        run(model)


def test_an_edited_plain_version_is_what_is_trained(monkeypatch):
    model, right = adapted_llama(), layer.denselora_delta
    before = run(model).detach()
    monkeypatch.setattr(layer, "denselora_delta", lambda *args: 2 * right(*args))
    with pytest.warns(UserWarning, match="the sum is off by"):
        auto = run(model)
    with use_fused("never"):
        assert torch.equal(run(model), auto)
    assert not torch.equal(auto, before)


def test_the_proof_leaves_the_random_stream_alone():
    model = adapted_llama(denselora_dropout=0.1).train()
    run(model)
    torch.manual_seed(3)
    first = run(model)
    choice._found.clear()
    torch.manual_seed(3)
    assert torch.equal(run(model), first)


def test_the_proof_is_made_once_for_each_dtype_and_pair_of_activations(monkeypatch):
    made = []
    monkeypatch.setattr(choice, "_difference", lambda *args: made.append(args) or "")
    for _ in range(2):
        for overrides in ({}, {"r": 8}, {"activation": "silu"}):
            run(adapted_llama(**overrides))
        run(adapted_llama().to(torch.bfloat16))
    assert [(args[1][0], args[3]) for args in made] == [
        (torch.float32, ("gelu", "gelu")),
        (torch.float32, ("silu", "silu")),
        (torch.bfloat16, ("gelu", "gelu")),
    ]


def test_what_is_proved_has_the_types_that_run(monkeypatch):
    """A layer norm gives fp32 under autocast on a GPU, its linear layers half precision."""
    made = []
    monkeypatch.setattr(choice, "_difference", lambda *args: made.append(args[1]) or "")
    q_proj = adapted_llama().base_model.model.model.layers[0].self_attn.q_proj
    with torch.autocast("cpu", torch.bfloat16):
        q_proj(torch.randn(3, 32))
    assert made == [(torch.bfloat16, torch.float32, torch.float32)]
    monkeypatch.undo()
    kinds = (torch.bfloat16, torch.float32, torch.float32)
    arguments = ("cpu", kinds, 8, ("gelu", "gelu"), (0.1,) * 3)
    assert choice._difference(*arguments, layer.denselora_delta) == ""


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_first_use_may_be_without_gradients(calls, context):
    with context():
        adapted_llama()(TOKENS)
    assert calls.count("fused") == 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("r", [1, 16, 256])
def test_the_operator_is_proved_on_this_machine(dtype, r):
    for after in layer.ACTIVATIONS:
        kinds = (dtype, dtype, torch.float32)
        arguments = ("cpu", kinds, r, (after, after), (0.05,) * 3)
        assert choice._difference(*arguments, layer.denselora_delta) == ""


def test_torch_compile_decides_while_it_traces():
    model = adapted_llama()
    eager = run(model)
    torch._dynamo.reset()
    choice._found.clear()
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(TOKENS).logits, eager)
    assert list(choice._found.values()) == [""]


def test_always_is_an_error_where_the_operator_has_no_code(monkeypatch):
    monkeypatch.setattr(operator, "is_supported", lambda x, r: False)
    with (
        use_fused("always"),
        pytest.raises(RuntimeError, match=r"no code for torch\.float32 on cpu"),
    ):
        run(adapted_llama())


def test_the_choice_lasts_until_the_next_or_the_end_of_the_block():
    assert denselora.use_fused is use_fused
    with use_fused("never"):
        assert choice._mode == "never"
        use_fused("always")
        assert choice._mode == "always"
    assert choice._mode == "auto"


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="use one of auto, always, never"):
        use_fused("yes")
