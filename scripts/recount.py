"""Recount accuracies from predictions: python scripts/recount.py folders=[evaluations/NAME]."""

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.evaluation.options import Recount


@entry_point("recount", Recount)
def main(cfg: DictConfig) -> None:
    from denselora.evaluation.recount import compare, recount_folder, recount_without_overlap
    from denselora.evaluation.show import print_agreement, print_counts

    for folder in cfg.folders:
        print_counts(folder, recount_folder(folder))
        if cfg.overlap:
            title = f"{folder}, without test rows that the training file holds"
            print_counts(title, recount_without_overlap(folder, cfg.overlap))
    for number, one in enumerate(cfg.folders):
        for other in cfg.folders[number + 1 :]:
            print_agreement(one, other, compare(one, other))


if __name__ == "__main__":
    main()
