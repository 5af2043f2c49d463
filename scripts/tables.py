"""Make all tables and figures from results/, or trace a cell: python scripts/tables.py."""

from pathlib import Path

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.results.options import Tables


@entry_point("tables", Tables)
def main(cfg: DictConfig) -> None:
    from denselora.results.run import checked_records, make_tables
    from denselora.results.trace import trace

    folder = Path(cfg.results_dir)
    if cfg.trace:
        print(*trace(checked_records(folder), cfg.trace), sep="\n")
    else:
        print(*make_tables(folder, cfg.tracker), sep="\n")


if __name__ == "__main__":
    main()
