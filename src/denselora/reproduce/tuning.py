"""A method's learning rate, chosen by validation loss among the runs that a grid left."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denselora.errors import UserError
from denselora.identity import SEEDS, dotted, same_but_for
from denselora.models import same_base
from denselora.training.run_folder import RunFolder, Trained

FREE = ("trainer.learning_rate", *SEEDS)


@dataclass(frozen=True)
class Choice:
    """A rate that was chosen. tried: all rates of its grid, from the lowest on, with those that
    collapsed or diverged. unfinished: ids of the grid's runs that have not ended."""

    rate: float
    tried: tuple[float, ...]
    unfinished: tuple[str, ...]

    def __str__(self) -> str:
        words = f"trainer.learning_rate={self.rate}: least validation loss of {len(self.tried)} "
        words += "rate" if len(self.tried) == 1 else f"rates, {self.tried[0]} to {self.tried[-1]}"
        beyond = [
            side
            for side, end in (("lower", self.tried[0]), ("higher", self.tried[-1]))
            if self.rate == end
        ]
        if beyond:
            words += f"; it is the last on its side, so try {' and '.join(beyond)} ones"
        if self.unfinished:
            words += f"; not finished: {', '.join(self.unfinished)}"
        return words


def best_learning_rate(config: dict[str, Any], runs: Path) -> Choice:
    """The rate of the run with the least validation loss among those like `config`.

    config: resolved. Alike are runs that differ from it in learning rate, seeds and place only;
    collapsed ones don't count. Of several seeds, whose validation rows differ, the one with the
    most rates decides, then the lowest; of equal losses the lowest rate. Raises UserError if there
    is none, or if two of them were trained on other weights, or rows, of the same path.
    """
    grids, tried, unfinished = defaultdict(dict), defaultdict(set), defaultdict(list)
    first, files = None, {}
    for run in map(RunFolder, sorted(path for path in runs.glob("*") if path.is_dir())):
        try:
            found = run.trained()
            had = found.config if found else run.config()
        except UserError:
            if run.finished:
                raise
            continue  # nothing to choose from, whatever it is
        if had is None or not same_but_for(had, config, FREE):
            continue
        seeds = tuple(had.get(seed) for seed in SEEDS)
        if not found:
            unfinished[seeds].append(run.path.name)
            continue
        rate = dotted(had).get("trainer.learning_rate")
        if not isinstance(rate, int | float):
            raise UserError(f"tuned=true: {found.run_id} has learning_rate={rate!r}, no number")
        tried[seeds].add(rate)
        loss = found.training.validation_loss_nats
        if loss is None or found.training.collapsed:
            continue
        first = first or found
        if not same_base(first.base, found.base):
            raise _changed(f"the weights of model={had['model']['name']}", first, found)
        if found.training.rows_file:
            files.setdefault(found.training.rows_file, found)
            if len(files) > 1:
                raise _changed("the training file", *files.values())
        grids[seeds][rate] = loss
    if not grids:
        raise UserError(
            f"tuned=true: {runs} has no finished run like adapter={config['adapter']['name']} on "
            f"{config['model']['name']} with another learning rate; run experiment=learning_rate, "
            "or learning_rate_vera, or budget's without tuned=true, with the same options first"
        )
    seeds = min(grids, key=lambda seeds: (-len(grids[seeds]), [seed or 0 for seed in seeds]))
    grid = grids[seeds]
    rate = min(sorted(grid), key=grid.get)
    return Choice(rate, tuple(sorted(tried[seeds])), tuple(unfinished[seeds]))


def _changed(what: str, one: Trained, other: Trained) -> UserError:
    return UserError(
        f"tuned=true: {what} changed between {one.run_id} and {other.run_id}; delete the runs on "
        "the old one"
    )
