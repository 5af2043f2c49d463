"""What all of the paper's experiments take: python scripts/reproduce_paper.py gpus=8."""

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.reproduce.options import Paper


@entry_point("reproduce_paper", Paper)
def main(cfg: DictConfig) -> None:
    from denselora.reproduce.paper import print_paper, settings

    found = settings(cfg.models, cfg.seeds, cfg.options or "", cfg.gpu)
    print_paper(found, [cfg.gpus] if isinstance(cfg.gpus, int) else cfg.gpus, cfg.gpu)


if __name__ == "__main__":
    main()
