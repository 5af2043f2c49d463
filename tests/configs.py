"""What the files in configs/ say, ready for use."""

from dataclasses import replace

from omegaconf import OmegaConf

from denselora.command_line.configs import CONFIGS, composed
from denselora.protocol import Protocol
from denselora.training.settings import Settings


def resolved(name: str, *overrides: str) -> dict:
    """A script's config with overrides of the command line, as plain values."""
    return OmegaConf.to_container(composed(name, overrides), resolve=True)


def read_protocol(name: str, **changes) -> Protocol:
    """A protocol of configs/protocol, with fields changed."""
    config = resolved("train", f"protocol={name}")["protocol"]
    return replace(Protocol.from_config(config), **changes)


def settings(**changes) -> Settings:
    """configs/trainer/default.yaml, with values changed."""
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / "trainer/default.yaml"))
    return Settings.from_config(config | changes)
