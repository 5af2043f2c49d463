"""The training loop: forward and backward over a global batch, clip, step, schedule."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from tqdm import tqdm

from denselora.data.batch import Batch
from denselora.errors import UserError
from denselora.out_of_memory import is_out_of_memory
from denselora.training.batches import Batches, GlobalBatch
from denselora.training.compiled import CompiledBlocks
from denselora.training.graphs import GraphedBlocks
from denselora.training.health import Diverged, fault
from denselora.training.loss import weighted_loss
from denselora.training.run_folder import RESUME
from denselora.training.settings import Settings
from denselora.training.state import State


@dataclass(kw_only=True)
class Loop:
    """Goes from where `state.progress` stands to the last step.

    steps: of the whole run. log: takes each step's metrics. save: writes a checkpoint of the
    present state, and takes the last step whose checkpoint is known to be good. asked_to_stop:
    whether a signal has come. validation: the held-out rows in batches, or none. head: the frozen
    one, see `frozen_head`. blocks: the model's, if compiled or recorded; validation goes without.
    """

    state: State
    batches: Batches
    settings: Settings
    steps: int
    log: Callable[[dict], None]
    save: Callable[[int], None]
    asked_to_stop: Callable[[], bool]
    validation: Sequence[Batch] = ()
    head: nn.Module | None = None
    blocks: CompiledBlocks | GraphedBlocks | None = None

    def run(self) -> bool:
        """Train; returns whether it was asked to stop before its end, which also saves.

        Raises Diverged after `max_skipped_steps` in a row without a finite loss and gradient, and
        when the weights to be saved are not finite or the last ones give no finite loss. Where a
        better checkpoint is the result, the last one isn't saved then.
        """
        accelerator, progress = self.state.accelerator, self.state.progress
        began = time.perf_counter() - progress.seconds
        stopping = False
        usual = None  # the last batch that gave a finite loss
        self.state.model.train()
        with tqdm(
            total=self.steps,
            initial=progress.step,
            unit="step",
            desc="training",
            disable=not accelerator.is_main_process,
        ) as bar:
            while progress.step < self.steps and not stopping:
                loss, batch = self._forward_backward()
                metrics = {"step": progress.step + 1} | self._update(loss)
                progress.step += 1
                progress.tokens += batch.tokens
                progress.seconds = time.perf_counter() - began
                usual = usual if usual and progress.skipped_in_a_row else batch

                last = progress.step == self.steps
                improved = False
                if self.validation and (last or progress.step % self.settings.eval_steps == 0):
                    validation_loss = self.validate()
                    metrics["validation_loss_nats"] = _finite(validation_loss)
                    improved = self._improved(validation_loss)
                metrics["epoch"] = self.batches.schedule.epochs(progress.step)
                metrics["tokens"] = progress.tokens
                metrics["seconds"] = progress.seconds
                self.log(metrics)
                self._show(bar, metrics)
                if last and progress.skipped == progress.step:
                    raise Diverged(f"step {progress.step}: {metrics['skipped']}, as in all steps")
                if progress.skipped_in_a_row >= self.settings.max_skipped_steps:
                    raise Diverged(
                        f"step {progress.step}: {metrics['skipped']}, and so were the "
                        f"{progress.skipped_in_a_row - 1} steps before it"
                    )
                stopping = self._is_stopping()
                # a checkpoint within a row of skipped steps would not be a good one
                due = improved or last or progress.step % self.settings.save_steps == 0
                if stopping or (due and (last or not progress.skipped_in_a_row)):
                    afterwards = None
                    if last:
                        held_out = self.validation
                        afterwards = validation_loss if held_out else self._loss_afterwards(usual)
                    self._save_if_good(afterwards)
        return stopping and progress.step < self.steps

    @torch.no_grad()
    def validate(self) -> float:
        """Token mean of the validation rows' loss in nats, dropout off."""
        accelerator = self.state.accelerator
        self.state.model.eval()
        total = torch.zeros((), device=accelerator.device)
        # sharded models need as many passes in every process; the surplus ones don't count
        for start in range(0, len(self.validation), accelerator.num_processes):
            mine = start + accelerator.process_index
            batch = self.validation[min(mine, len(self.validation) - 1)]
            loss = self._held_out_loss(batch)
            if mine < len(self.validation):
                total += loss
        self.state.model.train()
        return float(accelerator.reduce(total, "sum"))

    @torch.no_grad()
    def _loss_afterwards(self, batch: GlobalBatch) -> float:
        """What the present weights give on a pass of a batch they were trained on, dropout off."""
        self.state.model.eval()
        loss = self._held_out_loss(batch.passes[0])
        self.state.model.train()
        return float(self.state.accelerator.reduce(loss, "sum"))

    def _held_out_loss(self, batch: Batch) -> torch.Tensor:
        """A batch's loss without a step to follow, in more passes when memory runs out."""
        accelerator = self.state.accelerator
        try:
            with accelerator.autocast(), self._uncompiled():
                return self._loss(batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(batch.lengths) == 1 or accelerator.num_processes > 1:
                raise UserError(
                    f"after step {self.state.progress.step}, without gradients: out of memory with "
                    f"{batch.tokens} tokens in a forward pass; free some, and {RESUME}"
                ) from None
        torch.cuda.empty_cache()
        first, second = batch.halves()
        return self._held_out_loss(first) + self._held_out_loss(second)

    def _save_if_good(self, afterwards: float | None) -> None:
        """Save, unless that would be of no use. afterwards: the loss after the last step."""
        progress = self.state.progress
        bad = None
        if self._any_process(not _all_finite(self.state.model)):
            bad = "the trained weights are not finite"
        elif afterwards is not None and not math.isfinite(afterwards):
            bad = f"the loss after it is {afterwards}"
        if bad is None:
            self.save(progress.good_up_to if afterwards is None else progress.step)
        elif afterwards is None or self.settings.checkpoint == "last" or not progress.best_step:
            raise Diverged(f"step {progress.step}: {bad}")

    def _forward_backward(self) -> tuple[float, GlobalBatch]:
        """Accumulate the gradients of the next global batch; returns its loss in nats.

        When memory runs out, its rows are spread over more passes and it starts again.
        """
        accelerator, progress = self.state.accelerator, self.state.progress
        while True:
            started = time.perf_counter()
            batch = self.batches.at(progress.step, progress.pass_tokens)
            progress.data_seconds += time.perf_counter() - started
            try:
                return self._accumulate(batch.passes), batch
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                largest = max(batch.passes, key=lambda one: one.tokens)
                if len(largest.lengths) == 1 or accelerator.num_processes > 1:
                    raise UserError(
                        f"step {progress.step + 1}: out of memory with {largest.tokens} tokens in "
                        f"a forward pass; lower trainer.pass_tokens={self.settings.pass_tokens} or "
                        "set trainer.gradient_checkpointing=true"
                    ) from None
            # outside the handler, which keeps the failed pass's tensors alive
            self.state.optimizer.zero_grad()
            gc.collect()  # a recorded graph holds itself
            torch.cuda.empty_cache()
            progress.pass_tokens = largest.tokens // 2
            tqdm.write(
                f"step {progress.step + 1}: out of memory; now {progress.pass_tokens} tokens a pass"
            )

    def _loss(self, batch: Batch) -> torch.Tensor:
        return weighted_loss(self.state.model, batch.to(self.state.accelerator.device), self.head)

    def _uncompiled(self) -> AbstractContextManager:
        return torch.compiler.set_stance("force_eager") if self.settings.compile else nullcontext()

    def _accumulate(self, passes: list[Batch]) -> float:
        accelerator, model = self.state.accelerator, self.state.model
        total = torch.zeros((), device=accelerator.device)
        for number, batch in enumerate(passes, start=1):
            waits = number < len(passes)
            if self.blocks:
                batch = self.blocks.padded(batch.to(accelerator.device))
            with (
                accelerator.no_sync(model) if waits else nullcontext(),
                self.blocks.watched(batch) if self.blocks else nullcontext(),
            ):
                with accelerator.autocast():
                    loss = self._loss(batch)
                # gradients are averaged over processes, the weights already count all of them
                weighted = loss * accelerator.num_processes
                if self.state.budget and number == 1:
                    weighted = weighted + self.state.budget.penalty()
                accelerator.backward(weighted)
            total += loss.detach()
        return float(accelerator.reduce(total, "sum"))

    def _update(self, loss: float) -> dict[str, float | str | None]:
        """Clip and step, unless loss or gradient isn't finite; returns what to log of it."""
        accelerator, progress = self.state.accelerator, self.state.progress
        learning_rate = self.state.scheduler.get_last_lr()[0]
        norm = float(
            accelerator.clip_grad_norm_(self.state.model.parameters(), self.settings.max_grad_norm)
        )
        why = fault(loss, norm)
        # a loss scaler leaves the step out by itself, and must see it to lower its scale
        if why is None or accelerator.scaler:
            self.state.optimizer.step()
        if why is None and self.state.budget:
            self.state.budget.update(progress.step + 1)
        self.state.scheduler.step()
        self.state.optimizer.zero_grad()
        metrics = {
            "loss_nats": _finite(loss),
            "learning_rate": learning_rate,
            "grad_norm": _finite(norm),
        }
        if why is None:
            progress.skipped_in_a_row = 0
            return metrics
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        if accelerator.is_main_process:
            tqdm.write(f"step {progress.step + 1}: left out, {why}")
        return metrics | {"skipped": why}

    def _improved(self, validation_loss: float) -> bool:
        """Note the best validation loss; whether the present weights are to be kept."""
        progress = self.state.progress
        best = progress.best_validation_loss_nats
        if self.settings.checkpoint == "last" or not math.isfinite(validation_loss):
            return False
        if progress.skipped_in_a_row or (best is not None and validation_loss >= best):
            return False
        progress.best_step = progress.step
        progress.best_validation_loss_nats = validation_loss
        return True

    def _is_stopping(self) -> bool:
        return self._any_process(self.asked_to_stop())

    def _any_process(self, flag: bool) -> bool:
        if self.state.accelerator.num_processes == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.state.accelerator.device)
        return bool(self.state.accelerator.reduce(flags, "sum"))

    def _show(self, bar: tqdm, metrics: dict) -> None:
        progress = self.state.progress
        loss, norm = metrics["loss_nats"], metrics["grad_norm"]
        bar.update()
        bar.set_postfix(
            loss="-" if loss is None else f"{loss:.3f}",
            lr=f"{metrics['learning_rate']:.1e}",
            norm="-" if norm is None else f"{norm:.2f}",
            tok_s=f"{progress.tokens / max(progress.seconds, 1e-9):.0f}",
        )


def _all_finite(model: nn.Module) -> bool:
    """Whether this process's part of the trained weights is finite, asked for once in all."""
    trained = [p.detach() for p in model.parameters() if p.requires_grad]
    parts = [p.to_local() if isinstance(p, DTensor) else p for p in trained]
    return bool(torch.stack([part.isfinite().all() for part in parts]).all())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
