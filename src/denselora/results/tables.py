"""Blocks written out: Markdown, LaTeX, CSV and the terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from denselora.files import write_text
from denselora.results.blocks import Block, Cell, Row, build_blocks, trained_otherwise
from denselora.results.published import Published, PublishedRow, PublishedTable
from denselora.results.record import COLUMNS, Record
from denselora.tasks import SUITES
from denselora.typeset import (
    MISSING,
    latex,
    latex_row,
    markdown,
    markdown_row,
    one_line,
    print_wide,
    terminal,
)

# Shown only in blocks where some row has it.
OPTIONAL = {"Seeds", "95 % CI", "Δ LoRA", "Δ published", "Ambiguous %", "Forgotten"}


@dataclass(frozen=True)
class Sheet:
    """A block as text: the one form behind Markdown, LaTeX and the terminal."""

    model: str
    title: str
    statement: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]


def measured_sheets(block: Block) -> list[Sheet]:
    """The text of a block of runs: its usual rows, what was run with several seeds, then a sheet
    for each thing that was varied, beside the usual rows of the same method and rank."""
    sheets = []
    repeated = [row for row in block.rows if len(row.seeds) > 1 or not row.seeds]
    for varied in sorted({row.varied for row in block.rows}):
        these = [row for row in block.rows if row.varied == varied]
        named = {(row.method.label, row.method.r) for row in these}
        beside = [
            row
            for row in block.rows
            if row in these or (not row.varied and (row.method.label, row.method.r) in named)
        ]
        sheets.append(_part_of_sheet(block, beside, f", by {varied}" if varied else ""))
    if len(repeated) < len(block.rows) and any(row.seeds for row in repeated):
        sheets.insert(1, _part_of_sheet(block, repeated, ", several seeds"))
    return sheets


def measured_sheet(block: Block) -> Sheet:
    """The text of all rows of a block in one sheet, in their order."""
    return _part_of_sheet(block, block.rows, "")


def _part_of_sheet(whole: Block, shown: list[Row], what: str) -> Sheet:
    block = Block(shown)
    record, suite = block.first, block.columns
    rows = [_measured_cells(row, suite, row in whole.references) for row in block.rows]
    limit, protocol = record.evaluation.limit, record.protocol
    quantization = record.evaluation.quantization
    columns = [
        column
        for column in rows[0]
        if column not in OPTIONAL or any(cells[column] != MISSING for cells in rows)
    ]
    if len({row.train_rows for row in block.rows} - {None}) < 2:
        columns.remove("Training rows")
    days = sorted({run.created.date().isoformat() for run in block.records})
    parts = {name: part for run in block.records for name, part in run.benchmarks.items()}
    n, full_n = (sum(getattr(part, key) for part in parts.values()) for key in ("n", "full_n"))
    return Sheet(
        model=record.model.label,
        title=f"{record.model.label}, {record.data.label}, protocol {protocol.name}, "
        f"{record.evaluation.scoring}"
        + (f", {quantization} base" if quantization else "")
        + (f", at most {limit} rows a benchmark" if limit else "")
        + what,
        statement=f"Measured. Model {record.model.label}; data {record.data.label}; "
        f"protocol {protocol.name}, version {protocol.version}, hash {protocol.hash}; "
        f"scoring by {record.evaluation.scoring}"
        + (f" on a base in {quantization}" if quantization else "")
        + f"; {n:,} of {full_n:,} test rows of "
        f"{len(parts)} benchmarks; evaluated {' to '.join(sorted({days[0], days[-1]}))}. "
        "Accuracy in %.",
        columns=columns,
        rows=[[cells[column] for column in columns] for cells in rows],
        notes=_notes(block, columns),
    )


def _measured_cells(row: Row, suite: dict[str, str], is_reference: bool) -> dict[str, str]:
    average, method = row.average, row.method
    seeds = str(len(row.seeds)) if row.seeds else MISSING
    return {
        "Method": row.label + (" †" if row.has_collapsed else ""),
        "r": _or_missing(method.r),
        "Trainable": f"{method.trainable:,}",
        "Trainable %": f"{method.trainable_percent:.4f}",
        "Training rows": MISSING if row.train_rows is None else f"{row.train_rows:,}",
        "Seeds": seeds + (f" (+{row.collapsed} †)" if row.collapsed else ""),
        **{column: _percent(row.cell(benchmark)) for benchmark, column in suite.items()},
        "Average": _percent(average),
        "95 % CI": _interval(average),
        "Δ LoRA": "reference" if is_reference and row.to_lora is None else _difference(row),
        "Δ published": MISSING if row.to_published is None else f"{row.to_published:+.1f}",
        "Unparsed %": MISSING if row.unparsed is None else f"{row.unparsed:.1f}",
        "Ambiguous %": MISSING if row.ambiguous is None else f"{row.ambiguous:.1f}",
        "Forgotten": MISSING if row.forgotten is None else f"{row.forgotten:+.2f}",
    }


def _notes(block: Block, columns: list[str]) -> list[str]:
    notes = []
    differences = [row.to_lora for row in block.rows if row.to_lora]
    if "95 % CI" in columns:
        notes.append("95 % CI: of the average, over test rows, from the Wilson intervals.")
    if any(len(row.seeds) > 1 for row in block.rows):
        notes.append("±: sample standard deviation over seeds.")
    if differences:
        reference = ", ".join(dict.fromkeys(_name(row.lora) for row in block.rows if row.lora))
        notes.append(
            "Δ LoRA: average minus that of the best LoRA over the same seeds and as many training "
            f"rows ({reference}), in points."
        )
    if any(difference.significant is False for difference in differences):
        notes.append(
            "ns: not significant. Over test rows, a paired bootstrap's 95 % interval holds 0, or "
            "over seeds, where there are several, Welch's test gives p ≥ 0.05."
        )
    untested = sum(difference.significant is None for difference in differences)
    if untested:
        notes.append(f"{untested} of {len(differences)} differences untested: no predictions here.")
    if "Δ published" in columns:
        notes.append("Δ published: average minus the method's own published one, in points.")
    texts = [run.neutral_text for run in block.records if run.neutral_text]
    if "Forgotten" in columns:
        notes.append(
            f"Forgotten: by how much the loss on {texts[0].file} ({texts[0].tokens:,} tokens) rose "
            f"in training, in nats a token; the base's is {_nats(texts[0].base_loss_nats)}."
        )
    usual = {row.method.label: row.usual for row in block.rows if row.usual}
    for method, words in usual.items():
        notes.append(f"{method} unless a row says otherwise: {words}.")
    shown = {name for run in block.records for name in run.benchmarks}
    for benchmark in SUITES[block.suite]:
        if benchmark.note and benchmark.name in shown:
            notes.append(f"{benchmark.label}: {benchmark.note}.")
    dirty = sum({run.git.dirty, run.origin.git.dirty} != {False} for run in block.records)
    if dirty:
        notes.append(f"{dirty} of {len(block.records)} runs: code not as committed, or not known.")
    for row in block.rows:
        if otherwise := sorted({part for run in row.records for part in trained_otherwise(run)}):
            notes.append(f"{_name(row)}: trained with {', '.join(otherwise)}.")
    bases = [(run.evaluation.made_of or {}).get("base") for run in block.records]
    if len({*bases} - {None}) > 1:
        usual, _ = Counter(filter(None, bases)).most_common(1)[0]
        others = [
            run.run_id
            for run, base in zip(block.records, bases, strict=True)
            if base not in (None, usual)
        ]
        notes.append(
            "The base had other weights, or held them in another type, than in most runs here: "
            f"{', '.join(others)}."
        )
    for row in block.rows:
        files = {run.training.rows_file for run in row.records if run.training}
        if len(files - {None}) > 1:
            notes.append(f"{_name(row)}: the file of its training rows changed between seeds.")
    for row in block.rows:
        if row.has_collapsed:
            reason = row.records[0].training.collapsed
            notes.append(f"† {_name(row)}: {reason}; counted, in no mean.")
    return notes


def _name(row: Row) -> str:
    return row.label if row.method.r is None else f"{row.label} r={row.method.r}"


def published_sheets(published: Published, suite: str) -> list[Sheet]:
    """The text of a suite's published rows, one sheet per model."""
    table = getattr(published, suite)
    models = dict.fromkeys(row.model for row in table.rows)
    return [
        _published_sheet(model, suite, table, [row for row in table.rows if row.model == model])
        for model in models
    ]


def _published_sheet(
    model: str, suite: str, table: PublishedTable, rows: list[PublishedRow]
) -> Sheet:
    sources = [_source(row) for row in rows]
    numbers = {source: number for number, source in enumerate(dict.fromkeys(sources), start=1)}
    cells = []
    for row, source in zip(rows, sources, strict=True):
        accuracies = row.cells or [None] * len(table.columns)
        digits = _digits([*accuracies, row.average, row.std], least=1)
        std = "" if row.std is None else f" ± {row.std:.{digits}f}"
        cells.append(
            [
                row.method,
                _or_missing(row.r),
                _as_printed(row.params_pct, max(2, _digits([row.params_pct], least=2))),
                *(_as_printed(accuracy, digits) for accuracy in accuracies),
                _as_printed(row.average, digits) + std,
                row.trust,
                f"[{numbers[source]}]",
            ]
        )
    return Sheet(
        model=model,
        title=f"{model}, {suite}, published",
        statement=f"Published, not measured here. Model {model}; data {table.data}; settings "
        "differ between sources. Accuracy in %, as printed.",
        columns=["Method", "r", "Trainable %", *table.columns, "Average", "Trust", "Source"],
        rows=cells,
        notes=[f"[{number}] {source}." for source, number in numbers.items()],
    )


def _source(row: PublishedRow) -> str:
    data = f"data {row.data}" if row.data else ""
    remarks = "; ".join(filter(None, [data, row.remark]))
    return row.source + (f" ({remarks})" if remarks else "")


def print_table(records: Sequence[Record], console: Console | None = None) -> None:
    """Show measured records in the terminal, as wide as the table needs."""
    console = console or terminal()
    sheets = [sheet for block in build_blocks(records) for sheet in measured_sheets(block)]
    for sheet in sheets:
        table = Table(title=one_line(sheet.title), title_justify="left")
        for number, column in enumerate(sheet.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=True)
        for row in sheet.rows:
            table.add_row(*map(one_line, row))
        print_wide(table, console)
        for line in [sheet.statement, *sheet.notes]:
            console.print(one_line(line), highlight=False)


def write_tables(blocks: Sequence[Block], published: Published, folder: str | Path) -> list[Path]:
    """Write each suite's tables as <suite>.md, .tex and .csv; returns the files."""
    folder = Path(folder)
    written = []
    for suite in COLUMNS:
        measured = [block for block in blocks if block.suite == suite]
        sheets = [sheet for block in measured for sheet in measured_sheets(block)]
        sheets += published_sheets(published, suite)
        models = list(dict.fromkeys(sheet.model for sheet in sheets))
        sheets.sort(key=lambda sheet: models.index(sheet.model))
        for suffix, text in {
            ".md": f"# {suite.capitalize()}\n\n" + "\n".join(map(_markdown, sheets)),
            ".tex": "\n".join(map(_latex, sheets)),
            ".csv": _csv(measured, published.tables[suite], suite),
        }.items():
            path = folder / (suite + suffix)
            write_text(path, text)
            written.append(path)
    return written


def _markdown(sheet: Sheet) -> str:
    rule = [":--"] + ["--:"] * (len(sheet.columns) - 1)
    head, *rows = ([markdown(cell) for cell in cells] for cells in [sheet.columns, *sheet.rows])
    table = "\n".join(markdown_row(cells) for cells in [head, rule, *rows])
    notes = "".join(f"\n{markdown(note)}  " for note in sheet.notes)
    title, statement = markdown(sheet.title), markdown(sheet.statement)
    return f"## {title}\n\n{statement}\n\n{table}\n" + (notes and f"{notes}\n")


def _latex(sheet: Sheet) -> str:
    frame = pd.DataFrame(map(latex_row, sheet.rows), columns=latex_row(sheet.columns))
    tabular = frame.to_latex(
        index=False, escape=False, column_format="l" + "r" * (len(sheet.columns) - 1)
    )
    title, statement, *notes = map(latex, [sheet.title, sheet.statement, *sheet.notes])
    return (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table*}\n\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}\n"
        f"\\caption{{{title}. {statement}}}\n{tabular}"
        + "".join(f"\\par {note}\n" for note in notes)
        + "\\end{table*}\n"
    )


def _csv(blocks: Sequence[Block], table: PublishedTable, suite: str) -> str:
    rows = [_csv_row(block, row) for block in blocks for row in block.rows]
    for row in table.rows:
        cells = dict(zip(table.columns, row.cells or [], strict=False))
        rows.append(
            {"kind": "published", "model": row.model, "data": row.data or table.data}
            | {"method": row.method}
            | {"r": row.r, "trainable_percent": row.params_pct, **cells}
            | {"average": row.average, "average_std": row.std}
            | {"trust": row.trust, "source": row.source, "remark": row.remark}
        )
    columns = [
        *("kind", "model", "data", "protocol", "protocol_hash", "scoring", "quantization", "limit"),
        *("from", "to"),
        *(
            "method",
            "remark",
            "r",
            "trainable",
            "trainable_percent",
            "train_rows",
            "seeds",
            "collapsed",
        ),
        *(name for column in COLUMNS[suite].values() for name in (column, f"{column}_std")),
        *("average", "average_std", "average_low", "average_high"),
        *("to_lora", "to_lora_low", "to_lora_high", "to_lora_p_over_seeds", "to_published"),
        *("unparsed_percent", "ambiguous_percent", "forgotten_nats", "trust", "source"),
    ]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.astype(
        dict.fromkeys(["r", "limit", "trainable", "train_rows", "collapsed"], "Int64")
    )
    return frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")


def _csv_row(block: Block, row: Row) -> dict:
    record = block.first
    days = sorted(run.created.date().isoformat() for run in row.records)
    values = {
        "kind": "collapsed" if row.has_collapsed else "measured",
        "model": record.model.label,
        "data": record.data.label,
        "protocol": record.protocol.name,
        "protocol_hash": record.protocol.hash,
        "scoring": record.evaluation.scoring,
        "quantization": record.evaluation.quantization,
        "limit": record.evaluation.limit,
        "from": days[0],
        "to": days[-1],
        "method": row.method.label,
        "remark": row.remark,
        "r": row.method.r,
        "trainable": row.method.trainable,
        "trainable_percent": row.method.trainable_percent,
        "train_rows": row.train_rows,
        "seeds": " ".join(map(str, row.seeds)),
        "collapsed": row.collapsed,
        "to_published": row.to_published,
        "unparsed_percent": row.unparsed,
        "ambiguous_percent": row.ambiguous,
        "forgotten_nats": row.forgotten,
    }
    for benchmark, column in block.columns.items():
        if cell := row.cell(benchmark):
            values |= {column: cell.mean, f"{column}_std": cell.std}
    if row.average:
        low, high = row.average.ci95 or (None, None)
        values |= {"average": row.average.mean, "average_std": row.average.std}
        values |= {"average_low": low, "average_high": high}
    if row.to_lora:
        low, high = row.to_lora.ci95 or (None, None)
        values |= {"to_lora": row.to_lora.mean, "to_lora_low": low, "to_lora_high": high}
        values |= {"to_lora_p_over_seeds": row.to_lora.p_over_seeds}
    return values


def _percent(cell: Cell | None) -> str:
    if cell is None:
        return MISSING
    return f"{cell.mean:.1f}" + ("" if cell.std is None else f" ± {cell.std:.1f}")


def _interval(cell: Cell | None) -> str:
    return MISSING if cell is None or cell.ci95 is None else "{:.1f}–{:.1f}".format(*cell.ci95)


def _difference(row: Row) -> str:
    if row.to_lora is None:
        return MISSING
    return f"{row.to_lora.mean:+.1f}" + (" ns" if row.to_lora.significant is False else "")


def _nats(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.2f}"


def _as_printed(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def _digits(values: Iterable[float | None], least: int) -> int:
    """Digits after the point that a source prints its numbers with."""
    exponents = (Decimal(repr(v)).as_tuple().exponent for v in values if v is not None)
    return max((-exponent for exponent in exponents), default=least)


def _or_missing(value: object) -> str:
    return MISSING if value is None else str(value)
