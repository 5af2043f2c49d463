"""What the files in configs/ need to be resolved, and how they are composed outside of a script."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

# of what isn't a number nothing is made: the option itself is then refused
OmegaConf.register_new_resolver(
    "times",
    lambda a, b: a * b if isinstance(a, int | float) and isinstance(b, int | float) else None,
    replace=True,
)
# ${of:name,{name: value, ...},other}: the table's value for the name, or the other value
OmegaConf.register_new_resolver(
    "of", lambda name, table, other: table.get(name, other), replace=True
)

CONFIGS = Path(__file__).parents[3] / "configs"


def composed(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config of a script, as its command line with these overrides has it."""
    # a script has its Hydra already
    is_script = GlobalHydra.instance().is_initialized()
    here = nullcontext() if is_script else initialize_config_dir(str(CONFIGS), version_base="1.3")
    with here:
        return compose(name, list(overrides))
