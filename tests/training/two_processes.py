"""Two processes train, stop and resume: see test_multiprocess.py, which launches this.

Arguments: the workplace, the output folder, rows per micro-batch, further overrides.
"""

import gc
import os
import sys
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch.nn.parallel import DistributedDataParallel

from denselora.training import loop
from denselora.training.run import train
from denselora.training.signals import Stopped
from tests.training.conftest import train_config


def main(workplace: Path, output: Path, micro_batch_size: str, *overrides: str) -> None:
    datasets.config.HF_DATASETS_CACHE = workplace / "cache"
    config = [
        f"output_dir={output}",
        "protocol=clean",
        "adapter.dropout=0",
        "trainer.global_batch_size=16",
        f"trainer.micro_batch_size={micro_batch_size}",
        "trainer.epochs=2",
        "trainer.max_steps=3",
        *overrides,
    ]
    refuse_to_end_the_group_before_the_model()
    save_first_gradients(output.with_suffix(".gradients.pt"))
    allow_fsdp_on_cpu()
    ask = loop.Loop._any_process
    if PartialState(cpu=True).num_processes > 1:
        # one of the two is asked to stop after the first step; both must
        loop.Loop._any_process = lambda self, flag: ask(
            self, PartialState(cpu=True).process_index == 1 and self.state.progress.step == 1
        )
        # it would end the process group, which can't be started twice
        end_training, Accelerator.end_training = Accelerator.end_training, lambda self: None
        try:
            train(train_config(workplace, *config))
            raise AssertionError("was not stopped")
        except Stopped:
            pass
        loop.Loop._any_process, Accelerator.end_training = ask, end_training
        for shared in (AcceleratorState, GradientState):
            shared._reset_state()
        allow_fsdp_on_cpu()
    train(train_config(workplace, *config, "resume=true"))


def allow_fsdp_on_cpu() -> None:
    """Accelerate shards on GPUs only; torch's FSDP2, which it calls, does so on the CPU as well."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def refuse_to_end_the_group_before_the_model() -> None:
    """A DistributedDataParallel that outlives it ends it once more, and may hang in doing so."""
    destroy = torch.distributed.destroy_process_group

    def checked(*arguments) -> None:
        models = [o for o in gc.get_objects() if isinstance(o, DistributedDataParallel)]
        assert not models, "train() ends its processes' group while the model is alive"
        destroy(*arguments)

    torch.distributed.destroy_process_group = checked


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


if __name__ == "__main__":
    workplace, output, *rest = sys.argv[1:]
    main(Path(workplace), Path(output), *rest)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
