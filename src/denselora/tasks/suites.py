"""The suites of benchmarks, each a row of a table and its average."""

from collections.abc import Sequence
from pathlib import Path

from denselora.errors import UserError
from denselora.tasks.benchmark import Benchmark
from denselora.tasks.commonsense import COMMONSENSE
from denselora.tasks.math import MATH

SUITES = {"commonsense": COMMONSENSE, "math": MATH}


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name; UserError with the known names otherwise."""
    known = {one.name: one for suite in SUITES.values() for one in suite}
    if name not in known:
        raise UserError(f"tasks: unknown benchmark {name!r}; known: {', '.join(known)}")
    return known[name]


def benchmarks(names: str | Sequence[str] | None, suite: str, folder: Path) -> list[Benchmark]:
    """The named benchmarks in table order. For "all", those of the suite; of the ones that
    LLM-Adapters doesn't have, those that the data folder has a test set of.

    Raises UserError for an unknown name.
    """
    if names in (None, "all"):
        return [one for one in SUITES[suite] if one.is_published or one.test_file(folder).is_file()]
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise UserError("tasks: the list is empty; name benchmarks or leave it as all")
    chosen = {benchmark(name) for name in names}
    return [one for each in SUITES.values() for one in each if one in chosen]
