"""Train, evaluate, tabulate: python scripts/reproduce.py experiments=[table1/NAME]."""

from omegaconf import DictConfig

from denselora.entry_point import entry_point


@entry_point("reproduce")
def main(cfg: DictConfig) -> None:
    from denselora.reproduce import reproduce

    reproduce(cfg)


if __name__ == "__main__":
    main()
