import io

import pytest
from rich.table import Table

from denselora.typeset import latex, latex_row, markdown, markdown_row, one_line, terminal


def test_a_text_with_line_breaks_and_control_characters_is_one_line():
    assert one_line("a\nb\r\nc \t d\u2028e\x1b[31mf\x00") == "a b c d e [31mf"


@pytest.mark.parametrize("text", ["a|b", r"a\|b", "a\nb", "`a|b`", "[a](b)|"])
def test_a_cell_stays_one_cell(text):
    row = markdown_row(["left", markdown(text), "right"])
    bare = row.replace(r"\\", "").replace(r"\|", "")
    assert bare.count("|") == 4 and "\n" not in row


def test_markup_in_markdown_is_shown_as_it_is():
    assert markdown("<b>*x*`y`") == r"\<b>\*x\*\`y\`"
    assert markdown("[a](http://b)") == r"[a\](http://b)"
    assert markdown('dropout_at=["input"]') == 'dropout_at=["input"]'


def test_every_sign_of_latex_is_printed_as_it_is():
    assert latex("50 % of a_b & c#d {e} $f$ ~ ^ \\g\nh") == (
        r"50 \% of a\_b \& c\#d \{e\} \$f\$ \textasciitilde{} \textasciicircum{} "
        r"\textbackslash{}g h"
    )


@pytest.mark.parametrize("first", ["[16]", "*"])
def test_a_first_cell_is_no_option_of_the_line_break_before_it(first):
    assert latex_row([first, "[16]"]) == ["{}" + first, "[16]"]


def test_a_terminal_shows_brackets_and_colons_as_they_are():
    console = terminal()
    console.file = io.StringIO()
    table = Table("[q_proj]", title="[bold]:smile:")
    table.add_row(":warning: [/]")
    console.print(table)
    shown = console.file.getvalue()
    assert "[q_proj]" in shown and "[bold]:smile:" in shown and ":warning: [/]" in shown
