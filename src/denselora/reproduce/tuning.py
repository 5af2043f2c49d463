"""A method's learning rate, chosen by validation loss among the runs that a grid left."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from denselora.errors import UserError
from denselora.identity import SEEDS, dotted, same_but_for
from denselora.models import same_base
from denselora.training.run_folder import read_trained

FREE = ("trainer.learning_rate", *SEEDS)


def best_learning_rate(config: dict[str, Any], runs: Path) -> float:
    """The rate of the run with the least validation loss among those like `config`.

    config: resolved. Alike are runs that differ from it in learning rate, seeds and place only;
    collapsed ones don't count. Of several seeds, whose validation rows differ, the one with the
    most rates decides, then the lowest; of equal losses the lowest rate. Raises UserError if there
    is none, or if two of them were trained on other weights of the same path.
    """
    grids, first = defaultdict(dict), None
    for found in filter(None, map(read_trained, sorted(runs.glob("*/adapter")))):
        loss = found.training.validation_loss_nats
        alike = same_but_for(found.config, config, FREE)
        if alike and loss is not None and not found.training.collapsed:
            rate = dotted(found.config).get("trainer.learning_rate")
            if not isinstance(rate, int | float):
                raise UserError(f"tuned=true: {found.run_id} has learning_rate={rate!r}, no number")
            first = first or found
            if not same_base(first.base, found.base):
                raise UserError(
                    f"tuned=true: the weights of model={found.config['model']['name']} changed "
                    f"between {first.run_id} and {found.run_id}; delete the runs on the old ones"
                )
            grids[tuple(found.config.get(seed) for seed in SEEDS)][rate] = loss
    if not grids:
        raise UserError(
            f"tuned=true: {runs} has no finished run like adapter={config['adapter']['name']} on "
            f"{config['model']['name']} with another learning rate; run experiment=learning_rate, "
            "or learning_rate_vera, or budget's without tuned=true, with the same options first"
        )
    seeds = min(grids, key=lambda seeds: (-len(grids[seeds]), [seed or 0 for seed in seeds]))
    grid = grids[seeds]
    return min(sorted(grid), key=grid.get)
