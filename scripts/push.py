"""Put an adapter on the hub: python scripts/push.py adapter_path=FOLDER repo=USER/NAME."""

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.evaluation.options import Push


@entry_point("push", Push)
def main(cfg: DictConfig) -> None:
    from pathlib import Path

    from denselora.push import push

    print(push(Path(cfg.adapter_path), cfg.repo, cfg.private))


if __name__ == "__main__":
    main()
