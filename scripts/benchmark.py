"""Measure speed: python scripts/benchmark.py model=smollm2_135m data=local data.path=FOLDER."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.speed.options import Benchmark


@entry_point("benchmark", Benchmark)
def main(cfg: DictConfig) -> None:
    from denselora.speed.run import run

    run(cfg, list(HydraConfig.get().overrides.task))


if __name__ == "__main__":
    main()
