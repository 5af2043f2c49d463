"""The paper's and other people's numbers, with their source and how much to trust them."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from denselora.errors import UserError, first_fault
from denselora.readers import read_text
from denselora.results.record import COLUMNS

# the one file of them, whatever folder a user's own results go to
PUBLISHED = Path(__file__).parents[3] / "results" / "published.yaml"

Trust = Literal["printed", "relayed", "independent"]

_keys = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))


@_keys
class PublishedRow:
    """One printed table row; percentages."""

    model: str
    method: str
    r: int | None
    params_pct: float | None
    cells: list[float | None] | None
    average: float | None
    std: float | None = None
    data: str | None = None
    """Training data other than its table's."""
    trust: Trust
    source: str
    remark: str = ""


@_keys
class PublishedTable:
    """Printed rows of one suite, and the training data they belong to."""

    data: str
    train_rows: int | None
    columns: list[str]
    rows: list[PublishedRow]

    @model_validator(mode="after")
    def _cells_fit_columns(self):
        for row in self.rows:
            if row.cells is not None and len(row.cells) != len(self.columns):
                raise ValueError(f"{row.method} r={row.r}: one cell per column is needed")
        return self


@_keys
class PublishedPoint:
    """One printed average of a figure; percentages."""

    model: str
    method: str
    r: int | None
    average: float
    trust: Trust
    modules: str | None = None
    fraction: float | None = Field(default=None, gt=0, le=1)


@_keys
class Published:
    """All of published.yaml."""

    commonsense: PublishedTable
    math: PublishedTable
    granularity: list[PublishedPoint]
    low_resource: list[PublishedPoint]

    @property
    def tables(self) -> dict[str, PublishedTable]:
        """By the name of the suite."""
        return {suite: getattr(self, suite) for suite in COLUMNS}


def read_published(path: str | Path) -> Published:
    """Read and check published.yaml.

    Raises `UserError`, naming the file and the key, when it isn't as its header says.
    """
    fix = "restore it from git"
    try:
        content = yaml.safe_load(read_text(Path(path), fix))
        return TypeAdapter(Published).validate_python(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            raise UserError(f"{path}: {first_fault(error)}; {fix}") from error
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())}); {fix}") from error
