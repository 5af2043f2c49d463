"""Make all tables and figures from results/, or trace a cell: python scripts/tables.py."""

from pathlib import Path

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.results.options import Tables


@entry_point("tables", Tables)
def main(cfg: DictConfig) -> None:
    from denselora.files import check_writable
    from denselora.results.artifact import check_wandb, log_files
    from denselora.results.beside import check_files
    from denselora.results.blocks import build_blocks
    from denselora.results.figures import write_figures
    from denselora.results.inventory import check_inventory, write_inventory
    from denselora.results.published import PUBLISHED, read_published
    from denselora.results.record import read_records
    from denselora.results.tables import write_tables
    from denselora.results.trace import trace

    if cfg.tracker:
        check_wandb()
    folder = Path(cfg.results_dir)
    records = read_records(folder)
    for record in records:
        check_files(record)
    if cfg.trace:
        print(*trace(records, cfg.trace), sep="\n")
        return
    check_writable(folder, "results_dir")
    check_inventory(folder)
    published = read_published(PUBLISHED)
    blocks = build_blocks(records, published.tables)
    tables = write_tables(blocks, published, folder / "tables")
    figures, left_out = write_figures(blocks, published, folder / "figures")
    page = write_inventory(records, folder)
    print(*tables, *figures, page, *(f"no figure {line}" for line in left_out), sep="\n")
    if cfg.tracker:
        log_files(folder, [*tables, *figures])


if __name__ == "__main__":
    main()
