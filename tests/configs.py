"""The repository's configs, as the scripts compose them."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

import denselora.configs  # noqa: F401  (what the configs are resolved with)

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"


def compose(name: str, *overrides: str, **options) -> DictConfig:
    """The config `name` with overrides of the command line. options: hydra.compose's."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return hydra.compose(name, list(overrides), **options)
