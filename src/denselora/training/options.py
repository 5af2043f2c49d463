"""The options of scripts/train.py."""

from typing import Literal

from pydantic import model_validator

from denselora.command_line.fields import FilePath, Flag, Seed, options
from denselora.command_line.groups import Adapter, Data, Model, Quantization
from denselora.errors import UserError
from denselora.protocol import Protocol
from denselora.training.settings import Settings


@options
class Train:
    """configs/train.yaml says what they mean."""

    model: Model
    adapter: Adapter
    data: Data
    protocol: Protocol
    trainer: Settings
    seed: Seed
    seed_init: Seed
    seed_data: Seed
    deterministic: Flag
    quantization: Quantization | None
    output_dir: FilePath | None
    resume: Flag
    tracker: Literal["wandb", "tensorboard"] | None

    @model_validator(mode="after")
    def _trains_what_it_can(self):
        if self.quantization and self.adapter.name == "full":
            raise UserError(
                f"quantization={self.quantization} freezes the base, which adapter=full trains; "
                "choose another adapter or quantization=null"
            )
        return self
