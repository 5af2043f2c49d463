"""The options of scripts/make_mini.py."""

from denselora.command_line.fields import FilePath, Seed, options
from denselora.protocol import Protocol
from denselora.training.settings import Settings


@options
class MakeMini:
    """configs/make_mini.yaml says what they mean."""

    trainer: Settings
    protocol: Protocol
    seed: Seed
    folder: FilePath
    checkpoints: FilePath
