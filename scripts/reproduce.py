"""Train, evaluate, tabulate: python scripts/reproduce.py experiment=table1/ROW model=MODEL."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.reproduce.options import Reproduce

# on a cluster the run may have been taken from a machine that is still saving it
PATIENCE_S = 60


@entry_point("reproduce", Reproduce, sweeps=True)
def main(cfg: DictConfig) -> float | None:
    from denselora.reproduce.point import Point

    hydra = HydraConfig.get()
    one_of_a_sweep_elsewhere = hydra.mode == RunMode.RUN
    return Point.of(cfg, list(hydra.overrides.task)).run(
        PATIENCE_S if one_of_a_sweep_elsewhere else 0
    )


if __name__ == "__main__":
    main()
