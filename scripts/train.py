"""Fine-tune a model: python scripts/train.py model=llama3_8b adapter=denselora seed=42."""

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.training.options import Train


@entry_point("train", Train)
def main(cfg: DictConfig) -> None:
    from denselora.training.run import train

    train(cfg)


if __name__ == "__main__":
    main()
