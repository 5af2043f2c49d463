"""The loop's numbers, checked before anything is built."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from denselora.command_line.fields import (
    Count,
    CountOrZero,
    Flag,
    FloatOrZero,
    OnOff,
    Positive,
    PositiveFloat,
    Whole,
    options,
)
from denselora.command_line.options import checked
from denselora.errors import UserError


@options
class Settings:
    """The `trainer` config group; units and meaning stand in configs/trainer/default.yaml."""

    epochs: Annotated[int, Whole(1, 10_000)]
    max_steps: CountOrZero | None
    global_batch_size: Count
    micro_batch_size: Count
    pass_tokens: Count
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"]
    learning_rate: Positive
    warmup_steps: CountOrZero
    weight_decay: FloatOrZero
    max_grad_norm: PositiveFloat
    max_skipped_steps: Count
    precision: Literal["auto", "bf16", "fp16", "fp32"]
    gradient_checkpointing: Flag
    fused: Literal["auto", "always", "never"]
    compile: Flag
    cuda_graphs: Annotated[bool | str, OnOff(("auto",))]
    validation_rows: CountOrZero
    eval_steps: Count
    checkpoint: Literal["last", "best"]
    save_steps: Count
    keep_checkpoints: Count

    @model_validator(mode="after")
    def _go_together(self):
        if self.compile and self.gradient_checkpointing:
            raise UserError(
                "trainer.compile=true: torch.compile skips blocks under "
                "trainer.gradient_checkpointing; set one to false"
            )
        if self.cuda_graphs is True and (self.gradient_checkpointing or self.compile):
            raise UserError(
                "trainer.cuda_graphs=true: neither with trainer.gradient_checkpointing nor with "
                "trainer.compile; set it to false"
            )
        if self.checkpoint == "best" and not self.validation_rows:
            raise UserError(
                "trainer.checkpoint=best: the best one is chosen by validation loss; set "
                "trainer.validation_rows"
            )
        return self

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Settings":
        """Build from the resolved `trainer` group; UserError on an unknown or impossible value."""
        return checked(cls, config, "trainer")

    @property
    def records_graphs(self) -> bool:
        """Whether CUDA graphs are wanted, or may be used and nothing in the settings is against."""
        return bool(self.cuda_graphs) and not (self.compile or self.gradient_checkpointing)

    def accumulation(self, processes: int) -> int:
        """Micro-batches that each process accumulates per optimizer step.

        Raises UserError unless global batch = micro-batch × accumulation × processes.
        """
        together = self.micro_batch_size * processes
        if self.global_batch_size % together:
            raise UserError(
                f"trainer.global_batch_size={self.global_batch_size} is not a multiple of "
                f"trainer.micro_batch_size={self.micro_batch_size} × {processes} processes; "
                "change one of the three"
            )
        return self.global_batch_size // together

    def without_validation(self, rows: int, file: Path) -> int:
        """Rows of a training file to train on; UserError if the validation takes them all."""
        if self.validation_rows >= rows:
            raise UserError(
                f"trainer.validation_rows={self.validation_rows} leaves nothing to train on: "
                f"{file} has {rows} rows; lower it"
            )
        return rows - self.validation_rows

    def steps(self, rows: int) -> int:
        """Optimizer steps of the run over that many training rows; all of them if max_steps=0."""
        steps = self.epochs * rows // self.global_batch_size
        if steps < 1:
            raise UserError(
                f"{rows} training rows × {self.epochs} epochs don't fill one batch of "
                f"trainer.global_batch_size={self.global_batch_size}; lower it or give more rows"
            )
        return min(steps, self.max_steps or steps)
