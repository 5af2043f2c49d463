"""The runs of a command line: one for each combination of the values it has for its options."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache

from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from omegaconf import DictConfig

from denselora.command_line.configs import CONFIGS
from denselora.command_line.options import accepted
from denselora.command_line.overrides import check_one_value
from denselora.errors import UserError
from denselora.reproduce.options import Reproduce
from denselora.reproduce.point import Point
from denselora.results.experiment import EXPERIMENTS, Experiment


def every_point(overrides: Sequence[str], swept: Mapping[str, str] | None = None) -> list[Point]:
    """All combinations, in the order that Hydra runs them.

    swept: an experiment's own values by option, with commas, which overrides of the same option
    replace. Raises UserError or one of Hydra's for an option that can't be.
    """
    own = [f"{name}={values}" for name, values in (swept or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*own, *overrides])
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    return [point_of(job) for job in jobs]


def check_sweeps(overrides: Sequence[str], tuned: bool) -> None:
    """Raise UserError for several experiments of which one has a grid of its own: Hydra takes the
    grid of a single one alone. That over the learning rate isn't needed with tuned=true, which is
    an error beside a given one.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    given = {override.key_or_group: override.value() for override in parsed}
    chosen = given.get("experiment")
    free = {"trainer.learning_rate"} if tuned else set()
    if both := free & given.keys():
        raise UserError(f"tuned=true chooses {both.pop()}; leave one of the two out")
    for name in chosen.list if isinstance(chosen, ChoiceSweep) else []:
        file = EXPERIMENTS / f"{name}.yaml"
        if not file.is_file():
            continue  # Hydra says what there is
        if swept := Experiment.read(file).swept - free - given.keys():
            raise UserError(
                f"experiment={name}: has values of its own for {', '.join(sorted(swept))}, which "
                "Hydra leaves out when several experiments are given; run it by itself"
            )


def check_search(name: str, overrides: Sequence[str], trainer: DictConfig, tuned: bool) -> None:
    """Raise UserError for what a sweeper that makes up its values, from the losses of those before,
    has no use for. name: the sweeper's."""
    check_one_value(overrides, name)
    if tuned:
        raise UserError(f"tuned=true: {name} tries rates of its own; leave one of the two out")
    for option in ("validation_rows", "max_steps"):
        if trainer[option] == 0:
            raise UserError(f"trainer.{option}=0: gives {name} no validation loss; leave it out")


def point_of(overrides: Sequence[str]) -> Point:
    """The run that reproduce.py makes of these options. Raises as `every_point` does."""
    return Point.of(accepted(_composed(overrides), Reproduce), overrides)


def _composed(overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes. It reads the same files for the same groups, which takes 0.1 s: that is
    done once, and the values are set in a copy, in the way that Hydra sets them."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    chosen = [(CONFIGS / override.key_or_group).is_dir() for override in parsed]
    config = deepcopy(
        _of_groups(*(text for text, group in zip(overrides, chosen, strict=True) if group))
    )
    values = [override for override, group in zip(parsed, chosen, strict=True) if not group]
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    return config


@cache
def _of_groups(*overrides: str) -> DictConfig:
    return compose("reproduce", list(overrides))
