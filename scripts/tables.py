"""Make all tables and figures from results/, or trace a cell to its runs."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from denselora.errors import entry_point
from denselora.results.published import read_published
from denselora.results.record import read_records
from denselora.results.tables import write_tables


@hydra.main(version_base="1.3", config_path="../configs", config_name="tables")
@entry_point
def main(cfg: DictConfig) -> None:
    folder = Path(cfg.results_dir)
    published = read_published(folder / "published.yaml")
    for path in write_tables(read_records(folder), published, folder / "tables"):
        print(path)


if __name__ == "__main__":
    main()
