"""The page: its data, styles and code in one file that needs nothing else."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

from denselora.files import write_text
from denselora.results.blocks import build_blocks
from denselora.results.published import Published
from denselora.results.record import COLUMNS, Record
from denselora.results.report.answers import DIGITS, SHORT, encode_answers
from denselora.results.report.blocks import shown_block
from denselora.results.report.runs import shown_runs
from denselora.results.tables import published_sheets

REPORT = "report.html"
ASSETS = Path(__file__).parent / "assets"
VENDOR = Path(__file__).parent / "vendor"
# in the order in which the page runs them
CODE = (
    *("statistics", "dom", "table", "answers", "scatter", "curves", "choice"),
    *("overview", "setting", "predictions", "run", "compare", "main"),
)


def write_report(records: Sequence[Record], published: Published, file: str | Path) -> Path:
    """Write the page of all records; returns its path.

    The same records give the same bytes: nothing in it is of the day or the machine, and nothing is
    compressed, which every version of zlib does in its own way.
    """
    file = Path(file)
    write_text(file, page(records, published))
    return file


def page(records: Sequence[Record], published: Published) -> str:
    """The page as HTML: assets/page.html with the styles, the code and the data put in."""
    return Template(_read(ASSETS / "page.html")).substitute(
        styles="\n".join(map(_read, [VENDOR / "uPlot.min.css", ASSETS / "page.css"])),
        licence=_read(VENDOR / "uPlot.LICENSE").strip(),
        data=embedded(content(records, published)),
        vendor=_read(VENDOR / "uPlot.iife.min.js"),
        code="\n".join(_read(ASSETS / f"{name}.js") for name in CODE),
    )


def content(records: Sequence[Record], published: Published) -> dict[str, Any]:
    """All that the page shows, as JSON has it."""
    sets, answers = encode_answers(records)
    runs, pairs = shown_runs(records, answers)
    place = {record.run_id: number for number, record in enumerate(records)}
    blocks = [shown_block(block, place) for block in build_blocks(records, published.tables)]
    blocks.sort(key=lambda block: -sum(len(row["runs"]) for row in block["rows"]))
    return {
        "blocks": blocks,
        "runs": runs,
        "pairs": pairs,
        "sets": sets,
        "digits": DIGITS,
        "short": SHORT,
        "published": [asdict(s) for suite in COLUMNS for s in published_sheets(published, suite)],
    }


def embedded(value: Any) -> str:
    """JSON for a script element. "<" and "&" in its strings are escaped: no text can end the
    element or begin another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
