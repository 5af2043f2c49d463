"""Fine-tune a model: python scripts/train.py model=mini adapter=denselora data=mini seed=42."""

from omegaconf import DictConfig

from denselora.entry_point import entry_point


@entry_point("train")
def main(cfg: DictConfig) -> None:
    from denselora.training.run import train

    train(cfg)


if __name__ == "__main__":
    main()
