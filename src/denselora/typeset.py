"""Text from anywhere, set so that it stays text: in one line, Markdown, LaTeX and the terminal."""

import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

MISSING = "–"  # in a cell without a value

# what would break a line or steer a terminal
_CONTROL = re.compile(r"\s*[\x00-\x1f\x7f-\x9f\u2028\u2029]\s*")
# what begins markup in Markdown, and the middle of a link; _ within a word begins none
_MARKDOWN = re.compile(r"[\\`*<]|\](?=[(\[:])")
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{sign: "\\" + sign for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "Δ": r"$\Delta$",
        "±": r"$\pm$",
        "†": r"$\dagger$",
        "–": "--",
    }
)


def one_line(text: str) -> str:
    """Line breaks and other control characters, with the space around them, become a space."""
    return _CONTROL.sub(" ", text).strip()


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, in a paragraph, a heading or a table's cell."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text))


def markdown_row(cells: Iterable[str]) -> str:
    """A line of a table. cells: Markdown; text from outside goes through `markdown` first."""
    return "| " + " | ".join(one_line(cell).replace("|", r"\|") for cell in cells) + " |"


def latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return one_line(text).translate(_LATEX)


def latex_row(cells: Sequence[str]) -> list[str]:
    """The cells of a row of a tabular. A [ or * at its start would belong to the \\\\ before it."""
    first, *others = map(latex, cells)
    return ["{}" + first if first.startswith(("[", "*")) else first, *others]


def terminal() -> Console:
    """A terminal that shows text as it is: [q_proj] is no markup, :1: no picture."""
    return Console(markup=False, emoji=False)


def print_wide(table: Table, console: Console | None = None) -> None:
    """Show a table as wide as it needs, from there on too."""
    console = console or terminal()
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    console.width = max(console.width, needed)
    console.print(table)
