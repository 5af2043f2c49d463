"""Recorded passes: the same gradients as without. Recording itself needs a GPU."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from peft import PeftModel, get_peft_model
from torch.torch_version import TorchVersion
from transformers import AutoModelForCausalLM, Gemma3nTextConfig, MixtralConfig

from denselora.adapter import use_fused
from denselora.errors import UserError
from denselora.training.attention import Rows as Layout
from denselora.training.attention import arguments, keep_rows_apart
from denselora.training.graphs import GraphedBlocks, against_graphs
from denselora.training.loss import frozen_head, weighted_loss
from tests.tiny import TINY, denselora_config
from tests.training.global_batch import (
    backward,
    global_batch,
    model_for_training,
    trained_gradients,
)

gpu = pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def unrecorded(monkeypatch):
    """On a CPU: what would be recorded runs each time."""

    def capture(self, given):
        def run(embedded, position_ids, starts):
            layout = Layout(starts, tuple(starts.diff().tolist()), self._longest)
            kept = {"position_ids": position_ids, "use_cache": False} | arguments(layout)
            return self._forward(inputs_embeds=embedded, **kept).last_hidden_state

        return run

    monkeypatch.setattr(GraphedBlocks, "_capture", capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)


def step(
    graphs: bool, device="cpu", dtype=torch.float32, steps=1, pass_tokens=60, must=True, dropout=0.0
):
    """Loss of each step over the same 16 rows in passes; the gradients of the last."""
    model = model_for_training(denselora_dropout=dropout).to(device, dtype).train()
    head, losses = frozen_head(model), []
    blocks = GraphedBlocks(model, pass_tokens, 16, 40, must) if graphs else None
    batches = global_batch("micro_batch_mean")
    for _ in range(steps):
        model.zero_grad(set_to_none=True)
        torch.manual_seed(5)
        passes = [one.to(torch.device(device)) for one in batches.at(0, pass_tokens).passes]
        losses.append(backward(model, passes, head, blocks))
    return losses, trained_gradients(model), blocks


def test_gradients_are_those_of_passes_that_are_not_recorded(unrecorded):
    (plain,), wanted, _ = step(False)
    losses, found, blocks = step(True, steps=3)
    assert losses == pytest.approx([plain] * 3, rel=1e-5)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    # sixteen rows take several passes, of fewer sizes
    assert 1 <= len(blocks._graphs) <= 8


def of_another_kind(config) -> PeftModel:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config)
    for weight in base.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    assert keep_rows_apart(base)
    return get_peft_model(base, denselora_config(target_modules=["q_proj"], init_weights=False))


def test_a_mixture_of_experts_gives_the_same(unrecorded):
    config = MixtralConfig(**TINY, num_local_experts=4, num_experts_per_tok=2)
    passes = global_batch("micro_batch_mean").at(0, 60).passes
    losses = []
    for recorded in (False, True):
        model = of_another_kind(config).train()
        blocks = GraphedBlocks(model, 60, 16, 40, must=True) if recorded else None
        losses.append(backward(model, passes, frozen_head(model), blocks))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_model_that_reads_more_than_embeddings_is_not_recorded(unrecorded):
    config = Gemma3nTextConfig(
        vocab_size=128, hidden_size=32, vocab_size_per_layer_input=128, intermediate_size=48,
        hidden_size_per_layer_input=8, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, num_kv_shared_layers=0, sliding_window=8,
        layer_types=["sliding_attention", "full_attention"], laurel_rank=4, altup_num_inputs=2,
        activation_sparsity_pattern=[0.0] * 2,
    )  # fmt: skip
    model = of_another_kind(config).train()
    blocks = GraphedBlocks(model, 60, 16, 40, must=True)
    with pytest.raises(UserError, match="differs when its tokens come as embeddings"):
        backward(model, global_batch("micro_batch_mean").at(0, 60).passes, None, blocks)


def test_every_pass_has_one_of_eight_sizes_and_as_many_rows(unrecorded):
    blocks = GraphedBlocks(model_for_training(), 60, 16, 40, must=True)
    passes = global_batch("micro_batch_mean").at(0, 60).passes
    for batch in passes:
        padded = blocks.padded(batch)
        assert padded.tokens % 8 == 0 and padded.tokens - batch.tokens < 8
        assert len(padded.starts) == 16 + 2 and padded.starts[-1] == padded.tokens
        assert padded.starts.diff().tolist() == list(padded.lengths)


def test_validation_and_other_callers_go_the_usual_way(unrecorded):
    model = model_for_training()
    blocks = GraphedBlocks(model, 60, 16, 40, must=True)
    batch = global_batch("micro_batch_mean").at(0, 60).passes[0]
    with torch.no_grad():
        validation = weighted_loss(model.eval(), batch, None)
        assert weighted_loss(model.train(), batch, None) == validation
    assert not blocks._graphs


def test_a_pass_that_cannot_be_recorded_is_one_line(unrecorded, monkeypatch):
    def capture(self, given):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(GraphedBlocks, "_capture", capture)
    with pytest.raises(UserError, match=r"48 tokens can't be recorded \(operation not permitted"):
        step(True)


def test_a_recording_that_differs_is_never_used(unrecorded, monkeypatch, capsys):
    right = GraphedBlocks._capture

    def wrong(self, given):
        run = right(self, given)
        return lambda *given: 1.2 * run(*given)

    monkeypatch.setattr(GraphedBlocks, "_capture", wrong)
    with pytest.raises(UserError, match="48 tokens differs when it is replayed, by 2e-01; set it"):
        step(True)
    (plain,), wanted, _ = step(False)
    (loss,), found, blocks = step(True, must=False)
    assert loss == pytest.approx(plain, rel=1e-5) and not blocks._graphs
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert capsys.readouterr().out.count("going on without CUDA graphs") == 1


def test_recording_draws_none_of_the_runs_random_numbers(unrecorded):
    (recording, replaying), _, _ = step(True, steps=2, dropout=0.2)
    assert recording == replaying


def test_a_recording_begins_with_nothing_left_of_the_computation_before(unrecorded, monkeypatch):
    # with copies of the weights in autocast's cache CUDA ended every recording of LoRA
    computed, capture, left = GraphedBlocks._blocks, GraphedBlocks._capture, []

    def accumulation(weight):
        """Autograd's node of a weight: a new one where no computation holds it."""
        return weight.expand_as(weight).grad_fn.next_functions[0][0]

    def marked(self, rows):
        def compute(*given):
            result = computed(self, rows)(*given)
            for weight in self._trained:
                accumulation(weight).metadata["before"] = True
            return result

        return compute

    def recording(self, given):
        left.extend("before" in accumulation(weight).metadata for weight in self._trained)
        return capture(self, given)

    monkeypatch.setattr(GraphedBlocks, "_blocks", marked)
    monkeypatch.setattr(GraphedBlocks, "_capture", recording)
    model = model_for_training().train()
    blocks = GraphedBlocks(model, 60, 16, 40, must=True)
    batch = blocks.padded(global_batch("micro_batch_mean").at(0, 60).passes[0])
    with use_fused("never"), torch.autocast("cpu", torch.bfloat16):
        weighted_loss(model, batch, None)
    assert left and not any(left)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_without_a_gpu_nothing_is_recorded():
    assert against_graphs(Accelerator(cpu=True), torch.bfloat16, {}) == "needs a GPU"


@pytest.mark.parametrize(
    ("quantization", "adapter", "why"),
    [
        (None, "lora", None),
        ("nf4", "denselora", None),
        ("int8", "lora", "outliers"),
        (None, "psoft", "solves"),
    ],
)
def test_a_pass_that_waits_for_the_gpu_is_not_recorded(monkeypatch, quantization, adapter, why):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    accelerator = SimpleNamespace(device=torch.device("cuda"), num_processes=1)
    config = {"quantization": quantization, "adapter": {"name": adapter}}
    against = against_graphs(accelerator, torch.bfloat16, config)
    assert against is None if why is None else why in against


@pytest.mark.parametrize(("torchs", "goes_on"), [("2.11.0", False), ("2.13.0", True)])
def test_a_failed_recording_ends_a_run_that_torch_could_not_go_on_with(
    unrecorded, monkeypatch, torchs, goes_on
):
    def capture(self, given):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(GraphedBlocks, "_capture", capture)
    monkeypatch.setattr(torch, "__version__", TorchVersion(torchs))
    if goes_on:
        assert step(True, must=False)[0] == step(False)[0]
        return
    with pytest.raises(UserError, match=r"2\.11\.0 can't go on; set trainer\.cuda_graphs=false"):
        step(True, must=False)


def test_a_replay_that_gives_nan_is_not_used(unrecorded, monkeypatch, capsys):
    capture = GraphedBlocks._capture

    def wrong(self, given):
        run = capture(self, given)

        def nan(*tensors):
            found = run(*tensors)
            found.register_hook(lambda gradient: gradient * float("nan"))
            return found

        return nan

    monkeypatch.setattr(GraphedBlocks, "_capture", wrong)
    step(True, must=False)
    assert "differs when it is replayed, by nan" in capsys.readouterr().out


@gpu[0]
@gpu[1]
def test_recorded_passes_are_those_of_the_eager_blocks():
    _, wanted, _ = step(False, "cuda", torch.bfloat16)
    losses, found, _ = step(True, "cuda", torch.bfloat16, steps=3)
    assert losses[0] == losses[1] == losses[2]
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() < 0.02 * gradient.norm(), name
