"""A process dies in the second step: see test_multiprocess.py, which launches this."""

import os
import signal
from pathlib import Path

import datasets
from accelerate import PartialState

from denselora.errors import UserError
from denselora.training import loop
from denselora.training.run import train
from tests.training.inputs import train_config
from tests.training.two_processes import allow_fsdp_on_cpu, three_steps


def main(rank: int, inputs: Path, output: Path, victim: int | None) -> None:
    """Train; what another process than the victim ends with is left in a file beside the folder."""
    datasets.config.HF_DATASETS_CACHE = inputs / "cache"
    update = loop.Loop._update

    def die_in_the_second_step(self, loss):
        if PartialState().process_index == victim and self.state.progress.step == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(self, loss)

    loop.Loop._update = die_in_the_second_step
    allow_fsdp_on_cpu()
    try:
        config = [*three_steps(output, 2), "trainer.save_steps=1", "resume=true"]
        train(train_config(inputs, *config))
    except UserError as error:
        output.with_suffix(f".{rank}.txt").write_text(str(error))
