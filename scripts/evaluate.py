"""Score an adapter or the plain base: python scripts/evaluate.py adapter_path=runs/NAME/adapter."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from denselora.entry_point import entry_point


@entry_point("evaluate")
def main(cfg: DictConfig) -> None:
    from denselora.evaluation.suite import evaluate
    from denselora.results.tables import print_table

    print_table([evaluate(cfg, list(HydraConfig.get().overrides.task))])


if __name__ == "__main__":
    main()
