"""The packages' order: each imports from those before it in the list, never upwards."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "denselora"
ORDER = (
    *("errors", "files", "configs", "provenance", "entry_point", "protocol", "identity", "tasks"),
    *("data", "adapter", "models", "methods", "results", "training", "evaluation", "reproduce"),
    *("speed", "world"),
)


def imported(file: Path) -> set[str]:
    """The packages and modules directly in denselora that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("denselora.")}


def test_no_import_runs_upwards():
    upwards = []
    for file in SOURCE.rglob("*.py"):
        own = file.relative_to(SOURCE).with_suffix("").parts[0]
        if own != "__init__":
            allowed = ORDER[: ORDER.index(own) + 1]
            upwards += [f"{file} imports {name}" for name in imported(file) - set(allowed)]
    assert not upwards
