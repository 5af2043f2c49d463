"""Train, evaluate, tabulate: python scripts/reproduce.py experiment=table1/ROW model=MODEL."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from denselora.entry_point import entry_point
from denselora.reproduce.options import Reproduce


@entry_point("reproduce", Reproduce, sweeps=True)
def main(cfg: DictConfig) -> float | None:
    from denselora.reproduce.point import Point

    return Point.of(cfg, list(HydraConfig.get().overrides.task)).run()


if __name__ == "__main__":
    main()
