"""The loop's numbers, checked before anything is built."""

from dataclasses import dataclass
from typing import Any

from denselora.adapter.fused.choice import MODES as FUSED
from denselora.errors import UserError
from denselora.models import PRECISIONS
from denselora.training.optimizer import OPTIMIZERS

CHECKPOINTS = ("last", "best")


@dataclass(frozen=True)
class Settings:
    """The `trainer` config group; units and meaning stand in configs/trainer/default.yaml."""

    epochs: int
    max_steps: int | None
    global_batch_size: int
    micro_batch_size: int
    pass_tokens: int
    optimizer: str
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    max_skipped_steps: int
    precision: str
    gradient_checkpointing: bool
    fused: str
    compile: bool
    cuda_graphs: str | bool
    validation_rows: int
    eval_steps: int
    checkpoint: str
    save_steps: int
    keep_checkpoints: int

    def __post_init__(self):
        for name in ("epochs", "global_batch_size", "micro_batch_size", "pass_tokens", "eval_steps",
                     "save_steps", "keep_checkpoints", "max_skipped_steps"):  # fmt: skip
            self._require(name, getattr(self, name) >= 1, "give a number above 0")
        self._require("learning_rate", self.learning_rate > 0, "give a number above 0")
        self._require("max_grad_norm", self.max_grad_norm > 0, "give a number above 0")
        for name in ("validation_rows", "warmup_steps", "weight_decay"):
            self._require(name, getattr(self, name) >= 0, "give 0 or more")
        self._require(
            "max_steps",
            self.max_steps is None or self.max_steps >= 0,
            "give a number above 0, 0 to print the plan alone, or null",
        )
        for name, allowed in (
            ("precision", PRECISIONS),
            ("fused", FUSED),
            ("optimizer", OPTIMIZERS),
            ("checkpoint", CHECKPOINTS),
        ):
            self._require(name, getattr(self, name) in allowed, f"use one of {', '.join(allowed)}")
        self._require(
            "compile",
            not (self.compile and self.gradient_checkpointing),
            "torch.compile skips blocks under trainer.gradient_checkpointing; set one to false",
        )
        self._require(
            "cuda_graphs", self.cuda_graphs in (True, False, "auto"), "use one of auto, true, false"
        )
        self._require(
            "cuda_graphs",
            not (self.cuda_graphs is True and (self.gradient_checkpointing or self.compile)),
            "neither with trainer.gradient_checkpointing nor with trainer.compile; set it to false",
        )
        self._require(
            "checkpoint",
            self.checkpoint == "last" or self.validation_rows > 0,
            "the best one is chosen by validation loss; set trainer.validation_rows",
        )

    def _require(self, name: str, holds: bool, fix: str) -> None:
        if not holds:
            raise UserError(f"trainer.{name}={getattr(self, name)}: {fix}")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Settings":
        """Build from the resolved `trainer` group; UserError on an unknown or impossible value."""
        try:
            return cls(**config)
        except TypeError as error:
            raise UserError(f"trainer: {error}; see configs/trainer/default.yaml") from None

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

    def steps(self, rows: int) -> int:
        """Optimizer steps of the run over that many training rows; all of them if max_steps=0."""
        steps = self.epochs * rows // self.global_batch_size
        if steps < 1:
            raise UserError(
                f"{rows} training rows × {self.epochs} epochs don't fill one batch of "
                f"trainer.global_batch_size={self.global_batch_size}; lower it or give more rows"
            )
        return min(steps, self.max_steps or steps)
