"""Make data/mini anew, benchmarks and base model: python scripts/make_mini.py folder=FOLDER."""

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.world.options import MakeMini


@entry_point("make_mini", MakeMini)
def main(cfg: DictConfig) -> None:
    from denselora.world.folder import make_mini

    make_mini(cfg)


if __name__ == "__main__":
    main()
