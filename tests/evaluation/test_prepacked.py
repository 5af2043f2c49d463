import copy

import peft
import pytest
import torch

from denselora.adapter.config import DenseLoraConfig
from denselora.evaluation.context import compute_head, read_prompts, shared_head
from denselora.evaluation.prepacked import Prepacked
from tests.evaluation.models import LAYOUTS, make_rows

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)
TARGETS = ["q_proj", "v_proj", "down_proj"]
ADAPTERS = {
    "lora": peft.LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False),
    "dora": peft.LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False, use_dora=True),
    "denselora": DenseLoraConfig(r=4, target_modules=TARGETS),
    "linear denselora": DenseLoraConfig(r=4, target_modules=TARGETS, activation="identity"),
}
MERGED = {"lora", "dora", "linear denselora"}


@pytest.fixture(scope="module")
def prompts(tokenizer, paper):
    rows = [row for name in LAYOUTS for row in make_rows(name, 3, seed=9)]
    return [tokenizer(paper.evaluation_prompt(row))["input_ids"] for row in rows]


@pytest.fixture(params=["none", *ADAPTERS])
def named(request, trained):
    model = copy.deepcopy(trained)
    if request.param == "none":
        return request.param, model
    model = peft.get_peft_model(model, ADAPTERS[request.param]).eval()
    for name, weight in model.named_parameters():
        if "decoder" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return request.param, model


def logits(model, prompts):
    return read_prompts(model, compute_head(model, shared_head(prompts)), prompts).logits


def test_logits_are_the_same_and_the_model_is_untouched_afterwards(named, trained, prompts):
    _, model = named
    before, weights = logits(model, prompts), copy.deepcopy(model.state_dict())
    with Prepacked(model) as prepacked:
        inside = logits(model, prompts)
    assert prepacked.layers
    torch.testing.assert_close(inside, before, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits(model, prompts), before)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [
        peft.LNTuningConfig(target_modules=TARGETS),
        peft.LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False, lora_bias=True),
        peft.LilyConfig(r=4, target_modules=TARGETS, init_weights=False),
    ],
    ids=["another layer when merged", "no merging", "modules that layers share"],
)
def test_methods_that_are_not_merged_as_lora_is_give_their_own_logits(config, trained, prompts):
    model = peft.get_peft_model(copy.deepcopy(trained), config).eval()
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.1 * torch.randn_like(weight)
    before, weights = logits(model, prompts), copy.deepcopy(model.state_dict())
    with Prepacked(model):
        torch.testing.assert_close(logits(model, prompts), before, atol=1e-3, rtol=1e-3)
    assert torch.equal(logits(model, prompts), before)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


def test_every_linear_layer_but_the_head_is_prepacked_and_adapters_are_merged(named):
    name, model = named
    blocks = model.config.num_hidden_layers
    prepacked = [layer.module for layer in Prepacked(model).layers]
    assert len(prepacked) == 7 * blocks
    tuned = [m for m in prepacked if isinstance(m, peft.tuners.tuners_utils.BaseTunerLayer)]
    assert len(tuned) == (len(TARGETS) * blocks if name in MERGED else 0)


def test_layers_in_half_precision_are_left_alone(trained):
    assert not Prepacked(copy.deepcopy(trained).bfloat16()).layers
