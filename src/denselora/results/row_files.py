"""Files of rows: JSON Lines while a run goes on, Parquet once it is among the results.

JSON Lines take a row at a time and survive a kill. Parquet is a fraction of their size, and pandas,
DuckDB and the Hugging Face hub's viewer open it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from denselora.errors import UserError, first_line
from denselora.files import read_lines
from denselora.readers import check_file, read_head

PARQUET = ".parquet"
LEVEL = 19  # zstd's; these files are written once


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """All rows of a JSON Lines file.

    Raises `UserError`, naming file and line, for a line that isn't a JSON object.
    """
    rows, fix = [], "restore the file, or delete it and make it again"
    check_file(file, fix)
    for number, line in enumerate(read_lines(file), start=1):
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{file}: line {number} is malformed; {fix}")
        rows.append(row)
    return rows


def read_parquet(file: Path, needed: Sequence[str]) -> pa.Table:
    """The table in a Parquet file. Raises `UserError`, naming the file, if it is damaged or lacks
    one of the columns needed."""
    fix = "restore it, or evaluate again"
    read_head(file, fix)
    try:
        # one thread: these files are small, and there may be thousands
        table = pq.ParquetFile(file).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file}: damaged or not Parquet ({first_line(error)}); {fix}") from None
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise UserError(f"{file}: lacks the columns {', '.join(missing)}; evaluate again")
    return table


def write_parquet(file: Path, table: pa.Table) -> None:
    """Write a table small: columns encoded by their type, then zstd."""
    encodings, repeated = {}, []
    for field in table.schema:
        if pa.types.is_integer(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(field.type):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif pa.types.is_string(field.type):
            # a dictionary of values that are all different would only be in the way
            if pc.count_distinct(table[field.name]).as_py() <= len(table) / 2:
                repeated.append(field.name)
        elif pa.types.is_list(field.type):
            repeated.append(f"{field.name}.list.element")
    pq.write_table(
        table,
        file,
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=repeated,
        column_encoding=encodings,
        write_statistics=False,
        store_schema=False,
    )
