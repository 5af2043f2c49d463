"""A file of configs/experiment: what it sets, what it varies, and what for."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from denselora.command_line.configs import CONFIGS
from denselora.errors import UserError
from denselora.identity import dotted
from denselora.readers import read_text

EXPERIMENTS = CONFIGS / "experiment"


@dataclass(frozen=True)
class Experiment:
    """A file of configs/experiment.

    fixed: what it sets. swept: what it varies. options: both, apart from adapter and seed.
    adapters: those that it is for.
    """

    name: str
    purpose: str
    fixed: dict[str, Any]
    swept: frozenset[str]
    options: frozenset[str]
    adapters: frozenset[str]

    @classmethod
    def read(cls, file: Path) -> "Experiment":
        """Raises UserError for a file that is no experiment's."""
        text = read_text(file, "fix it")
        try:
            content = yaml.safe_load(text)
            params = content.pop("hydra", {}).get("sweeper", {}).get("params", {})
            listed = [each for each in content.pop("defaults", []) if each != "_self_"]
            defaults = {name: of for each in listed for name, of in each.items()}
        except (yaml.YAMLError, AttributeError, TypeError) as error:
            raise UserError(
                f"{file}: not an experiment's config ({' '.join(str(error).split())}); fix it"
            ) from None
        adapters = params.get("adapter") or defaults.get("override /adapter") or "denselora"
        words = " ".join(line[2:] for line in text.splitlines()[1:] if line.startswith("# "))
        return cls(
            name=file.relative_to(EXPERIMENTS).with_suffix("").as_posix(),
            # its header says it before the first command or further sentence
            purpose=re.split(r": |\. |;| python ", words)[0],
            fixed=content,
            swept=frozenset(params),
            options=frozenset({*dotted(content), *params} - {"adapter", "seed"}),
            adapters=frozenset(adapters.split(",")),
        )

    def values(self, model: str) -> dict[str, Any]:
        """What it sets for a model, by dotted name; not what follows options of other files."""
        config = OmegaConf.merge({"model": {"name": model}}, self.fixed)
        found = {}
        for name in dotted(self.fixed):
            with suppress(OmegaConfBaseException):
                value = OmegaConf.select(config, name)
                found[name] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
        return found
