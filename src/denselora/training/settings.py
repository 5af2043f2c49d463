"""The loop's numbers, checked before anything is built."""

from dataclasses import dataclass
from typing import Any

from denselora.errors import UserError


@dataclass(frozen=True)
class Settings:
    """The `trainer` config group; units and meaning stand in configs/trainer/default.yaml."""

    epochs: int
    max_steps: int | None
    global_batch_size: int
    micro_batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    gradient_checkpointing: bool
    validation_rows: int
    eval_steps: int
    save_steps: int
    keep_checkpoints: int

    def __post_init__(self):
        for name in ("epochs", "global_batch_size", "micro_batch_size", "eval_steps", "save_steps",
                     "keep_checkpoints"):  # fmt: skip
            if getattr(self, name) < 1:
                raise UserError(f"trainer.{name}={getattr(self, name)}: give a number above 0")
        if self.learning_rate <= 0:
            raise UserError(f"trainer.learning_rate={self.learning_rate}: give a number above 0")
        if self.max_steps is not None and self.max_steps < 1:
            raise UserError(f"trainer.max_steps={self.max_steps}: give a number above 0, or null")
        if self.validation_rows < 0:
            raise UserError(f"trainer.validation_rows={self.validation_rows}: give 0 or more")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Settings":
        """Build from the resolved `trainer` group; UserError on an unknown or impossible value."""
        try:
            return cls(**config)
        except TypeError as error:
            raise UserError(f"trainer: {error}; see configs/trainer/default.yaml") from None

    def micro_batches(self, processes: int) -> int:
        """Micro-batches that each process accumulates per step.

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

    def steps(self, rows: int) -> int:
        """Optimizer steps of the run over that many training rows."""
        steps = self.epochs * rows // self.global_batch_size
        if steps < 1:
            raise UserError(
                f"{rows} training rows × {self.epochs} epochs don't fill one batch of "
                f"trainer.global_batch_size={self.global_batch_size}; lower it or give more rows"
            )
        return steps if self.max_steps is None else min(steps, self.max_steps)
