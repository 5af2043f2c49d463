"""What a checkpoint holds besides the weights: how far the run is, and every moving part."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from denselora.errors import UserError, first_line
from denselora.training.adalora import RankBudget


@dataclass
class Progress:
    """How far the run is. `step` is also the cursor in the data: step n trains on batch n - 1."""

    step: int = 0
    tokens: int = 0
    """Real tokens trained on."""
    seconds: float = 0.0
    """Wall clock in the loop."""
    data_seconds: float = 0.0
    """Of these, spent on making batches."""
    skipped: int = 0
    """Steps left out because loss or gradient was not finite."""
    skipped_in_a_row: int = 0
    pass_tokens: int = 0
    """Tokens in a forward pass at most: trainer.pass_tokens, or less where memory ran out."""
    best_step: int | None = None
    """The step with the least validation loss so far."""
    best_validation_loss_nats: float | None = None

    @property
    def good_up_to(self) -> int:
        """The last step after which a loss was finite: checkpoints up to it are good."""
        return self.step - self.skipped_in_a_row - 1


@dataclass(kw_only=True)
class State:
    """The moving parts of a run, prepared by the accelerator."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    progress: Progress
    budget: RankBudget | None = None
    """AdaLoRA's."""

    def collect(self, metrics: str) -> dict[str, Any]:
        """Everything to save, for torch.save. All processes must call it.

        metrics: the text of metrics.jsonl so far.
        """
        scaler = self.accelerator.scaler
        return {
            "optimizer": self._optimizer_state(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "progress": vars(self.progress).copy(),
            "budget": self.budget.state() if self.budget else None,
            "random": gather_object([random_state()]),
            "metrics": metrics,
        }

    def restore(self, saved: dict[str, Any], source: Path) -> None:
        """Put back what `collect` gave.

        Raises UserError if the run had another number of processes, or if the saved state isn't
        this run's.
        """
        processes = self.accelerator.num_processes
        if len(saved["random"]) != processes:
            raise UserError(
                f"{source}: written by {len(saved['random'])} processes, this run has {processes}; "
                "launch as many as before"
            )
        try:
            self._put_back(saved)
        except Exception as error:  # read from a file, it may hold anything
            raise UserError(
                f"{source}: its state doesn't fit the run ({type(error).__name__}: "
                f"{first_line(error)}); restore the checkpoint, or train again in another "
                "output_dir"
            ) from None

    def _put_back(self, saved: dict[str, Any]) -> None:
        if self.accelerator.is_fsdp2:
            set_optimizer_state_dict(
                self.model,
                self._plain_optimizer,
                saved["optimizer"],
                options=StateDictOptions(full_state_dict=True),
            )
        else:
            self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        if self.accelerator.scaler and saved["scaler"]:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        if self.budget:
            self.budget.restore(saved["budget"], self.accelerator.device)
        for name, value in saved["progress"].items():
            setattr(self.progress, name, value)
        restore_random_state(saved["random"][self.accelerator.process_index])

    def _optimizer_state(self) -> dict[str, Any]:
        if self.accelerator.is_fsdp2:
            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            return get_optimizer_state_dict(self.model, self._plain_optimizer, options=options)
        return self.optimizer.state_dict()

    @property
    def _plain_optimizer(self) -> torch.optim.Optimizer:
        return self.optimizer.optimizer  # within Accelerate's wrapper


def random_state() -> dict[str, Any]:
    """Every generator that this process may draw from."""
    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` took."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
