"""Two processes train, stop and resume: see test_multiprocess.py, which launches this."""

import gc
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch.nn.parallel import DistributedDataParallel

from denselora.training import loop
from denselora.training.run import train
from denselora.training.signals import Stopped
from tests.training.inputs import train_config


def main(rank: int, inputs: Path, output: Path, micro_batch_size: int) -> None:
    datasets.config.HF_DATASETS_CACHE = inputs / "cache"
    config = three_steps(output, micro_batch_size)
    destroy = torch.distributed.destroy_process_group
    torch.distributed.destroy_process_group = lambda *group: no_model_alive() or destroy(*group)
    save_first_gradients(output.with_suffix(".gradients.pt"))
    allow_fsdp_on_cpu()
    if PartialState(cpu=True).num_processes > 1:
        end_early(lambda *resume: train(train_config(inputs, *config, *resume)))
    train(train_config(inputs, *config, "resume=true"))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def three_steps(output: Path, micro_batch_size: int) -> list[str]:
    """What makes a run of three steps of 16 rows, whatever the number of processes."""
    return [
        f"output_dir={output}",
        "protocol=clean",
        "adapter.dropout=0",
        "trainer.global_batch_size=16",
        f"trainer.micro_batch_size={micro_batch_size}",
        "trainer.epochs=2",
        "trainer.max_steps=3",
    ]


def allow_fsdp_on_cpu() -> None:
    """Accelerate shards on GPUs only; torch's FSDP2, which it calls, does so on the CPU as well."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def end_early(start: Callable[..., object]) -> None:
    """Ask one of the two to stop after the first step: both must. Then let both fail in the next.

    The process group, which can't be started twice, lives on.
    """
    stopping, update, end = loop.Loop._is_stopping, loop.Loop._update, Accelerator.end_training
    Accelerator.end_training = lambda self: no_model_alive()

    def fail(*_) -> None:
        raise ArithmeticError("the second step")

    loop.Loop._is_stopping = lambda self: self._any_process(
        PartialState(cpu=True).process_index == 1 and self.state.progress.step == 1
    )
    assert isinstance(error_of(start), Stopped)
    loop.Loop._is_stopping, loop.Loop._update = stopping, fail
    assert isinstance(error_of(partial(start, "resume=true")), ArithmeticError)
    loop.Loop._update, Accelerator.end_training = update, end


def error_of(start: Callable[[], object]) -> BaseException | None:
    """What a training ends with; accelerate is ready for another one then."""
    try:
        start()
    except (Stopped, ArithmeticError) as error:
        return error
    finally:
        for shared in (AcceleratorState, GradientState):
            shared._reset_state()
        allow_fsdp_on_cpu()


def no_model_alive() -> None:
    """A DistributedDataParallel that outlives its group ends it once more, and may hang over it."""
    models = [o for o in gc.get_objects() if isinstance(o, DistributedDataParallel)]
    assert not models, "train() ends its processes' group while the model is alive"


def save_first_gradients(file: Path) -> None:
    """The gradients of step one, whole, before they are clipped."""
    update = loop.Loop._update

    def save_and_update(self, loss):
        if self.state.progress.step == 0:
            gradients = {
                name.removeprefix("module."): parameter.grad
                for name, parameter in self.state.model.named_parameters()
                if parameter.requires_grad
            }
            whole = {
                name: (grad.full_tensor() if hasattr(grad, "full_tensor") else grad).clone()
                for name, grad in gradients.items()
            }
            if PartialState(cpu=True).is_main_process:
                sharded = any(hasattr(grad, "full_tensor") for grad in gradients.values())
                torch.save({"sharded": sharded, "gradients": whole}, file)
        return update(self, loss)

    loop.Loop._update = save_and_update
