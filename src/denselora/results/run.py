"""From a results folder to what is made of it: tables, figures and the page of runs."""

from pathlib import Path

from denselora.files import check_writable
from denselora.results.artifact import check_wandb, log_files
from denselora.results.blocks import build_blocks
from denselora.results.change import read_change
from denselora.results.figures import write_figures
from denselora.results.inventory import check_inventory, write_inventory
from denselora.results.metrics import read_losses
from denselora.results.predictions import check_predictions
from denselora.results.published import PUBLISHED, read_published
from denselora.results.record import Record, read_records
from denselora.results.tables import write_tables


def checked_records(folder: Path) -> list[Record]:
    """All records of a results folder, with the files beside them.

    Raises `UserError` as `read_records` does, or unless the predictions are those that a record
    counts, and its metrics and summary of change can be read.
    """
    records = read_records(folder)
    for record in records:
        check_predictions(record)
        training = record.training
        if training and (metrics := record.beside(training.metrics_file)):
            read_losses(metrics)
        if training and (change := record.beside(training.change_file)):
            read_change(change)
    return records


def make_tables(folder: Path, tracker: str | None) -> list[str]:
    """Write tables/, figures/ and README.md of a results folder anew.

    Returns their names, and a line for each figure that lacks something. tracker: takes the files
    too. Raises `UserError` before anything is written.
    """
    if tracker:
        check_wandb()
    records = checked_records(folder)
    check_writable(folder, "results_dir")
    check_inventory(folder)
    published = read_published(PUBLISHED)
    blocks = build_blocks(records, published.tables)
    tables = write_tables(blocks, published, folder / "tables")
    figures, left_out = write_figures(blocks, published, folder / "figures")
    page = write_inventory(records, folder)
    if tracker:
        log_files(folder, [*tables, *figures])
    return [*map(str, [*tables, *figures, page]), *(f"no figure {line}" for line in left_out)]
