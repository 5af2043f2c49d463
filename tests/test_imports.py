"""What may import what."""

import ast
from pathlib import Path

from tests import ROOT

SOURCE = ROOT / "src" / "denselora"
# each package imports from those before it in the list
ORDER = (  # noqa: SIM905  (short lines, that merge)
    "errors out_of_memory threads typeset readers files weight_files lock processes digest loaded "
    "provenance identity tasks command_line protocol data adapter models methods compatibility "
    "results training evaluation push reproduce speed world"
).split()


def imported(file: Path) -> set[str]:
    """Dotted names of all that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_no_import_runs_upwards():
    upwards = []
    for file in SOURCE.rglob("*.py"):
        own = file.relative_to(SOURCE).with_suffix("").parts[0]
        if own != "__init__":
            allowed = ORDER[: ORDER.index(own) + 1]
            packages = {n.split(".")[1] for n in imported(file) if n.startswith("denselora.")}
            upwards += [f"{file} imports {name}" for name in packages - set(allowed)]
    assert not upwards


def test_no_test_module_imports_from_another():
    """What several need is in a file of its own."""
    crossing = [
        f"{file} imports {name}"
        for file in (ROOT / "tests").rglob("*.py")
        for name in imported(file)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert not crossing
