"""The training loop: forward and backward over a global batch, clip, step, schedule."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from denselora.data.dataset import TrainingSet, collate
from denselora.data.order import Schedule
from denselora.training.loss import counted, denominators, summed_loss
from denselora.training.settings import Settings


@dataclass
class Progress:
    """How far the run is: optimizer steps done, real tokens trained on, seconds in the loop."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass
class Loop:
    """Everything the loop turns; `run` goes from where `progress` stands to the last step."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    rows: TrainingSet
    validation: TrainingSet | None
    schedule: Schedule
    settings: Settings
    loss_reduction: str
    steps: int
    progress: Progress

    def run(
        self, log: Callable[[dict], None], save: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        """Train to the last step.

        log: takes each step's metrics. save: writes a checkpoint of the present state.
        clock: seconds from a fixed start.
        """
        settings, progress = self.settings, self.progress
        began = clock() - progress.seconds
        bar = tqdm(
            total=self.steps,
            initial=progress.step,
            unit="step",
            desc="training",
            disable=not self.accelerator.is_main_process,
        )
        with bar:
            while progress.step < self.steps:
                loss, tokens = self._forward_backward(self.schedule[progress.step])
                norm = self.accelerator.clip_grad_norm_(
                    self.model.parameters(), settings.max_grad_norm
                )
                learning_rate = self.scheduler.get_last_lr()[0]
                self.optimizer.step()
                self.scheduler.step()
                self.optimizer.zero_grad()

                progress.step += 1
                progress.tokens += tokens
                progress.seconds = clock() - began
                last = progress.step == self.steps
                metrics = {
                    "step": progress.step,
                    "epoch": self.schedule.epochs(progress.step),
                    "loss_nats": loss,
                    "learning_rate": learning_rate,
                    "grad_norm": float(norm),
                    "tokens": progress.tokens,
                    "seconds": progress.seconds,
                }
                if self.validation and (progress.step % settings.eval_steps == 0 or last):
                    metrics["validation_loss_nats"] = self.validate()
                log(metrics)
                if progress.step % settings.save_steps == 0 or last:
                    save()
                bar.update()
                bar.set_postfix(
                    loss=f"{loss:.3f}",
                    lr=f"{learning_rate:.1e}",
                    norm=f"{float(norm):.2f}",
                    tok_s=f"{progress.tokens / max(progress.seconds, 1e-9):.0f}",
                )

    def validate(self) -> float:
        """Token mean of the validation rows' loss in nats, dropout off."""
        self.model.eval()
        loss = tokens = 0.0
        rows, size = self.validation.encoded, self.settings.micro_batch_size
        with torch.no_grad():
            for start in range(0, len(rows), size):
                batch = [rows[i] for i in range(start, min(start + size, len(rows)))]
                with self.accelerator.autocast():
                    loss += float(summed_loss(self.model, self._on_device(batch)))
                tokens += sum(counted(row) for row in batch)
        self.model.train()
        return loss / max(tokens, 1)

    def _forward_backward(self, numbers: list[int]) -> tuple[float, int]:
        """Accumulate the gradients of one global batch.

        Returns its loss in nats and its real tokens, over all processes.
        """
        size = self.settings.micro_batch_size
        rows = [self.rows[number] for number in numbers]
        micro_batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        divisors = denominators(micro_batches, self.loss_reduction)
        processes = self.accelerator.num_processes
        mine = list(zip(micro_batches, divisors, strict=True))[
            self.accelerator.process_index :: processes
        ]
        total = torch.zeros((), device=self.accelerator.device)
        for number, (micro_batch, divisor) in enumerate(mine, start=1):
            waits = number < len(mine)
            with self.accelerator.no_sync(self.model) if waits else nullcontext():
                with self.accelerator.autocast():
                    loss = summed_loss(self.model, self._on_device(micro_batch)) / divisor
                # gradients are averaged over processes, the divisors already count all of them
                self.accelerator.backward(loss * processes)
            total += loss.detach()
        total = self.accelerator.reduce(total, "sum")
        return float(total), sum(len(row["input_ids"]) for row in rows)

    def _on_device(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        batch = collate(rows, pad_id=0)
        return {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}
