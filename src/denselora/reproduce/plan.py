"""The plan of an experiment: how far each run is, its size, what it will take."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from denselora.reproduce.estimate import GPUS, Estimate, assumptions
from denselora.reproduce.point import OVER, Point
from denselora.reproduce.states import STATES
from denselora.results.published import PUBLISHED, Published, read_published
from denselora.typeset import MISSING, one_line, terminal


def print_plan(planned: Sequence[tuple[Point, Estimate]], gpu: str) -> None:
    """Print a line for each run, then what all that is left takes on a GPU of this name."""
    published = read_published(PUBLISHED)
    table = Table("State", "Run", "Trainable", "%", "published %", "Hours", "GiB")
    for column in table.columns[2:]:
        column.justify = "right"
    common = (
        set.intersection(*(set(point.options) for point, _ in planned)) if planned[1:] else set()
    )
    hours, most = 0.0, 0.0
    for point, expected in planned:
        over = point.state in OVER
        left = 0 if over else expected.hours_left(point.state)
        hours += left
        most = max(most, 0 if over else expected.memory_gib)
        table.add_row(
            point.state,
            one_line(" ".join(option for option in point.options if option not in common)),
            f"{expected.method['trainable']:,}",
            f"{expected.method['trainable_percent']:.4f}",
            _published_percent(point, expected, published),
            MISSING if over else f"{left:.2f}",
            MISSING if over else f"{expected.memory_gib:.1f}",
            style="dim" if over else None,
        )
    console = terminal()
    console.width = max(console.width, 160)
    if common:
        first = planned[0][0].options
        console.print("All:", *(option for option in first if option in common), highlight=False)
    console.print(table)
    chosen = (f"{_method(point)}: {point.choice}" for point, _ in planned if point.choice)
    for line in dict.fromkeys(chosen):
        console.print(one_line(line), highlight=False)
    counts = Counter(point.state for point, _ in planned)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    console.print(
        f"{len(planned)} runs: {states}. Left: about {hours:.1f} hours, at most {most:.1f} GiB. "
        + assumptions(gpu),
        highlight=False,
    )
    if most > GPUS[gpu][1]:
        console.print(
            f"More than one {gpu} holds: a pass then halves its rows as memory runs out; "
            "trainer.gradient_checkpointing=true needs less",
            highlight=False,
        )


def _method(point: Point) -> str:
    adapter = point.config["adapter"]
    return adapter["name"] + (f" r={adapter['r']}" if adapter.get("r") else "")


def _published_percent(point: Point, expected: Estimate, published: Published) -> str:
    config, method = point.config, expected.method
    for row in getattr(published, config["data"]["suite"]).rows:
        same = (row.model, row.method) == (config["model"]["label"], method["label"])
        if same and row.params_pct is not None and row.r in (None, method["r"]):
            return f"{row.params_pct:g}"
    return MISSING
