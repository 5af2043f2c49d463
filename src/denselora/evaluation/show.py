"""Figures of an evaluation in the terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from denselora.results.record import Benchmark
from denselora.tasks import benchmark
from denselora.typeset import one_line, print_wide

if TYPE_CHECKING:
    from denselora.evaluation.ask import Answer
    from denselora.evaluation.recount import Agreement


def print_counts(title: str, results: Mapping[str, Benchmark]) -> None:
    """A line per benchmark: rows, right, accuracy with its interval, unparsed, ambiguous."""
    table = Table(title=one_line(title), title_justify="left")
    table.add_column("")
    for head in ("rows", "right", "%", "95 %", "chance %", "unparsed", "ambiguous"):
        table.add_column(head, justify="right")
    for name, one in results.items():
        low, high = one.ci95
        table.add_row(
            benchmark(name).label,
            f"{one.n} of {one.full_n}" if one.n < one.full_n else str(one.n),
            str(one.correct),
            f"{100 * one.accuracy:.1f}",
            f"{100 * low:.1f}–{100 * high:.1f}",
            f"{100 * one.chance:.0f}",
            str(one.unparsed),
            "–" if one.ambiguous is None else str(one.ambiguous),
        )
    print_wide(table)


def print_agreement(one: str, other: str, agreements: "Mapping[str, Agreement]") -> None:
    """A line per benchmark: how often two evaluations give the same answer, and who is right."""
    table = Table(title=f"A: {one_line(one)}\nB: {one_line(other)}", title_justify="left")
    table.add_column("")
    for head in ("rows", "same answer", "%", "right A", "right B", "McNemar p"):
        table.add_column(head, justify="right")
    for name, each in agreements.items():
        table.add_row(
            benchmark(name).label,
            str(each.n),
            str(each.same),
            f"{100 * each.same / each.n:.1f}",
            str(each.right[0]),
            str(each.right[1]),
            f"{each.p:.3f}",
        )
    print_wide(table)


def print_answer(answer: "Answer") -> None:
    """Prompt as the model gets it, its answer, and each option's probability."""
    print(f"--- prompt\n{answer.prompt}\n--- answer\n{answer.text}")
    if answer.probabilities:
        print(f"--- read as {answer.parsed}; probability of each option")
        for word, share in sorted(answer.probabilities.items(), key=lambda pair: -pair[1]):
            print(f"{word:<12} {share:.3f}")
    print(flush=True)
