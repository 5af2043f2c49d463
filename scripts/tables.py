"""Make all tables and figures from results/, or trace a cell: python scripts/tables.py."""

from pathlib import Path

from omegaconf import DictConfig

from denselora.entry_point import entry_point


@entry_point("tables")
def main(cfg: DictConfig) -> None:
    from denselora.results.published import read_published
    from denselora.results.record import read_records
    from denselora.results.tables import write_tables

    folder = Path(cfg.results_dir)
    published = read_published(folder / "published.yaml")
    for path in write_tables(read_records(folder), published, folder / "tables"):
        print(path)


if __name__ == "__main__":
    main()
