"""How a run ended: its figures, its adapter folder, its summary."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from denselora import provenance
from denselora.results.record import Device, Git, Method, Protocol, Training
from denselora.training.card import write_card
from denselora.training.health import Diverged, collapse
from denselora.training.job import Job
from denselora.training.run_folder import RunFolder, Trained
from denselora.training.state import Progress


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """base: `models.fingerprint` of it. rows: trained on.

    All processes must call its methods; the main one writes and prints.
    """

    job: Job
    folder: RunFolder
    accelerator: Accelerator
    base: dict[str, Any]
    method: Method
    rows: int
    rows_file: str
    progress: Progress

    def finished(self, write_weights: Callable[[Path], None], checkpoint_step: int) -> None:
        """Make the adapter folder from a checkpoint's weights and print the summary.

        checkpoint_step: the step that the weights are of.
        """
        peak = self._peak_memory_gib()
        if self.accelerator.is_main_process:
            metrics = self.folder.metrics()
            trained = self._trained(metrics, peak, checkpoint_step, collapse(metrics))

            def write_files(folder: Path) -> None:
                write_weights(folder)
                write_card(folder, trained)  # in place of PEFT's, which has only blanks to fill in

            self.folder.finish(write_files, trained)
            self._print_summary(trained.training)
        self.accelerator.wait_for_everyone()

    def diverged(self, error: Diverged, checkpoint: Path | None) -> Diverged:
        """Write training.json into the run folder; returns the error with what to do next."""
        peak = self._peak_memory_gib()
        reason = f"{error}; the last good checkpoint is {checkpoint or 'none'}"
        if self.accelerator.is_main_process:
            metrics = self.folder.metrics()
            self.folder.fail(self._trained(metrics, peak, None, reason))
        return Diverged(
            f"{reason}; lower trainer.learning_rate or use another trainer.precision, in another "
            "output_dir"
        )

    def _peak_memory_gib(self) -> float:
        return max(gather_object([provenance.peak_memory_gib()]))

    def _trained(
        self, metrics: list[dict], peak: float, checkpoint_step: int | None, collapsed: str | None
    ) -> Trained:
        progress, last = self.progress, metrics[-1]
        validation = [
            row["validation_loss_nats"]
            for row in metrics
            if "validation_loss_nats" in row
            and (checkpoint_step is None or row["step"] <= checkpoint_step)
        ]
        return Trained(
            run_id=self.job.run_id,
            config=self.job.config,
            base=self.base,
            method=self.method,
            protocol=Protocol(**self.job.protocol.identity),
            git=Git(**provenance.git_state()),
            packages=provenance.packages(),
            device=Device(**provenance.device(self.accelerator.num_processes)),
            training=Training(
                steps=progress.step,
                epochs=last["epoch"],
                rows=self.rows,
                tokens=progress.tokens,
                tokens_per_s=progress.tokens / progress.seconds,
                data_percent=100 * progress.data_seconds / progress.seconds,
                peak_memory_gib=peak,
                pass_tokens=progress.pass_tokens,
                seconds=progress.seconds,
                skipped_steps=progress.skipped,
                checkpoint_step=checkpoint_step,
                train_loss_nats=last["loss_nats"],
                validation_loss_nats=validation[-1] if validation else None,
                metrics_file=None,
                collapsed=collapsed,
                rows_file=self.rows_file,
            ),
        )

    def _print_summary(self, figures: Training) -> None:
        loss = figures.train_loss_nats
        print(
            f"{figures.steps:,} steps, {figures.tokens:,} tokens at "
            f"{figures.tokens_per_s:,.0f} tokens/s in {_duration(figures.seconds)}, "
            f"peak memory {figures.peak_memory_gib:.2f} GiB, "
            + ("last loss not finite" if loss is None else f"last loss {loss:.4f} nats")
        )
        print(
            f"{figures.data_percent:.1f} % of the time went into making batches"
            + (
                f"; memory ran out: {figures.pass_tokens} tokens a pass in the end"
                if 1 < figures.pass_tokens < self.job.settings.pass_tokens
                else ""
            )
        )
        if figures.skipped_steps:
            print(f"left out for non-finite loss or gradient: {figures.skipped_steps} steps")
        if figures.collapsed:
            print(f"COLLAPSED: {figures.collapsed}")
        which = "" if figures.checkpoint_step == figures.steps else (
            f" (best validation loss, step {figures.checkpoint_step})"
        )  # fmt: skip
        print(f"adapter: {self.folder.adapter}{which}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(math.floor(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
