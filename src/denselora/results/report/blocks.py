"""Each block of comparable runs as the page shows it: its table, and what its charts draw."""

from collections.abc import Mapping
from typing import Any

from denselora.results.blocks import Block, Row, best, of_usual_size
from denselora.results.charts import bar_ends, colour
from denselora.results.record import Record
from denselora.results.tables import measured_sheet
from denselora.results.training_curves import best_of_each_method


def shown_block(block: Block, place: Mapping[str, int]) -> dict[str, Any]:
    """A block with the words and numbers of its table in tables/.

    place: run id -> number of the run. Rows name their runs, and the LoRA run that each is measured
    against, by it.
    """
    sheet = measured_sheet(block)
    drawn = of_usual_size([row for row in block.rows if _is_drawn(row)])
    chosen = best(drawn, lambda row: (row.method.label, row.method.r))
    return {
        "title": sheet.title,
        "statement": sheet.statement,
        "notes": sheet.notes,
        "columns": sheet.columns,
        "benchmarks": block.columns,
        "chance": 100 * block.first.chance,
        "drawnRows": drawn[0].train_rows if drawn else None,
        "curves": [block.rows.index(row) for row in best_of_each_method(block, "metrics_file")],
        "rows": [
            {
                "cells": cells,
                "label": row.label,
                "method": row.method.label,
                "colour": colour(row),
                "r": row.method.r,
                "trainable": row.method.trainable,
                "varied": row.varied,
                "drawn": "chosen" if row in chosen else "faint" if row in drawn else None,
                "average": _spread(row),
                "runs": [place[run.run_id] for run in row.records],
                "lora": [place[run.run_id] for run in _measured_against(row)],
            }
            for row, cells in zip(block.rows, sheet.rows, strict=True)
        ],
    }


def _is_drawn(row: Row) -> bool:
    return bool(row.average and row.method.trainable and not row.has_collapsed)


def _spread(row: Row) -> list[float] | None:
    """Mean, and the ends of its bar, in percent."""
    cell = row.average
    if cell is None:
        return None
    return [cell.mean, *bar_ends(cell)]


def _measured_against(row: Row) -> list[Record]:
    return row.lora.records if row.lora else []
