"""Two gloo processes against one."""

import os

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from peft import PeftModel
from safetensors.torch import load_file
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from tests.processes import run_processes
from tests.tiny import adapted_llama, tiny_llama

pytestmark = pytest.mark.multiprocess

JOINED = torch.randint(0, 128, (4, 8), generator=torch.Generator().manual_seed(3))


def half(rank: int) -> torch.Tensor:
    return JOINED[2 * rank : 2 * rank + 2]


def reference_gradients() -> dict[str, torch.Tensor]:
    """One process, the joined batch."""
    model = adapted_llama().train()
    model(input_ids=JOINED, labels=JOINED).loss.backward()
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def assert_gradients(model, full=lambda gradient: gradient, prefix=""):
    expected = reference_gradients()
    actual = {
        n.removeprefix(prefix): full(p.grad) for n, p in model.named_parameters() if p.requires_grad
    }
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


def ddp_worker(rank: int, folder) -> None:
    model = DistributedDataParallel(adapted_llama().train())
    model(input_ids=half(rank), labels=half(rank)).loss.backward()
    assert_gradients(model, prefix="module.")
    model.module.save_pretrained(folder, is_main_process=rank == 0)


def test_ddp_gradients_are_those_of_one_process_on_the_joined_batch(tmp_path):
    run_processes(ddp_worker, 2, tmp_path)
    assert len(load_file(tmp_path / "adapter_model.safetensors")) == 20


def fsdp2_accelerator(cpu_ram_efficient_loading: bool) -> Accelerator:
    accelerator = Accelerator(cpu=True)
    # Accelerate 1.15 offers FSDP on accelerators only; its FSDP2 code itself runs on gloo as well.
    for state in (PartialState._shared_state, AcceleratorState._shared_state):
        state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
        cpu_ram_efficient_loading=cpu_ram_efficient_loading,
        state_dict_type="FULL_STATE_DICT",
        reshard_after_forward=True,
    )
    return accelerator


def fsdp2_worker(rank: int, folder, cpu_ram_efficient_loading: bool) -> None:
    accelerator = fsdp2_accelerator(cpu_ram_efficient_loading)
    model = adapted_llama()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model, optimizer = accelerator.prepare(model, optimizer)
    assert isinstance(model, FSDPModule)
    model.train()
    accelerator.backward(model(input_ids=half(rank), labels=half(rank)).loss)
    assert_gradients(model, full=lambda gradient: gradient.full_tensor())
    optimizer.step()

    model.eval()
    with torch.no_grad():
        logits = model(JOINED).logits
    state = accelerator.get_state_dict(model)
    model.save_pretrained(folder, state_dict=state, is_main_process=accelerator.is_main_process)
    accelerator.wait_for_everyone()
    loaded = PeftModel.from_pretrained(tiny_llama(), folder)
    with torch.no_grad():
        assert not torch.equal(logits, adapted_llama()(JOINED).logits)
        assert torch.equal(loaded(JOINED).logits, logits)


@pytest.mark.parametrize("cpu_ram_efficient_loading", [False, True])
def test_fsdp2_trains_and_saves_one_complete_adapter_folder(tmp_path, cpu_ram_efficient_loading):
    run_processes(fsdp2_worker, 2, tmp_path, cpu_ram_efficient_loading)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert len(saved) == 20
    assert saved["base_model.denselora_encoder.q_proj.weight"].shape == (4, 32)
    assert sorted(os.listdir(tmp_path)) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not dist.is_initialized()
