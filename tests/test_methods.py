"""What a method is on a base model."""

import torch
from omegaconf import OmegaConf

from denselora.command_line.configs import composed
from denselora.methods import attach
from tests.tiny import tiny_llama


def test_copies_of_modules_are_trained_in_fp32_on_a_base_in_half_precision():
    adapter = composed("train", ["adapter=lora", "+adapter.peft.modules_to_save=[norm]"]).adapter
    OmegaConf.resolve(adapter)
    model = attach(tiny_llama().to(torch.bfloat16), adapter, steps=1)
    trained = {n: p.dtype for n, p in model.named_parameters() if p.requires_grad}
    assert any("modules_to_save" in name for name in trained)
    assert {*trained.values()} == {torch.float32}
