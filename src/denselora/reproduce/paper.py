"""Every run of the paper's experiments, and how long all of them take."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose
from rich.table import Table

from denselora.command_line.configs import CONFIGS
from denselora.command_line.overrides import readable
from denselora.errors import UserError, first_line
from denselora.models import check_access
from denselora.reproduce.estimate import GPUS, Estimate, assumptions, estimate
from denselora.reproduce.options import Reproduce
from denselora.reproduce.point import OVER, Point
from denselora.reproduce.points import every_point
from denselora.reproduce.queue import longest_first
from denselora.tasks import benchmarks
from denselora.typeset import MISSING, one_line, print_wide, terminal

EVERY_MODEL = "Table 1"
# what the paper shows -> its files in configs/experiment
EXPERIMENTS = {
    EVERY_MODEL: "table1/*",
    "rank": "rank",
    "modules": "modules",
    "low-resource": "low_resource",
    "ablations": "ablation/*",
    "math": "math/*",
}


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but the seed. expected: of each."""

    part: str
    runs: list[Point]
    expected: Estimate

    @property
    def left(self) -> list[Point]:
        """Those that are yet to run."""
        return [run for run in self.runs if run.state not in OVER]


def settings(models: Sequence[str], seeds: Sequence[int], options: str, gpu: str) -> list[Setting]:
    """All of the paper's. A run that two experiments share is with the first of them.

    models: Table 1 is run on each, everything else on the last. options: further ones of every
    run. Raises UserError for an option that can't be, a model that can't be reached or data that
    isn't there.
    """
    assumptions(gpu)
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise UserError(f"options={options}: {first_line(error)}; close the quotes") from None
    further = readable(words, Reproduce, several=True)
    found, seen = [], set()
    for part, pattern in EXPERIMENTS.items():
        for model in models if part == EVERY_MODEL else models[-1:]:
            for experiment in _experiments(pattern):
                given = [f"experiment={experiment}", f"model={model}", *further]
                params = compose("reproduce", given, return_hydra_config=True).hydra.sweeper.params
                seed = ",".join(map(str, seeds))
                for runs in _by_setting(every_point([*given, f"seed={seed}"], params)):
                    first = runs[0]
                    if first.folder in seen:
                        continue
                    seen |= {run.folder for run in runs}
                    _check_data(first)
                    check_access(first.config["model"]["path"])
                    found.append(Setting(part, runs, estimate(first, gpu)))
    return found


def print_paper(found: Sequence[Setting], gpus: Sequence[int], gpu: str) -> None:
    """Print a line for each setting, and what the runs that are left take on so many GPUs."""
    console = terminal()
    table = Table("For", "Run", "Seeds", "Left", "Trainable", "Hours each", "GiB")
    for column in table.columns[2:]:
        column.justify = "right"
    part = None
    for setting in found:
        table.add_row(
            MISSING if setting.part == part else setting.part,
            one_line(" ".join(_without_seed(setting.runs[0]))),
            str(len(setting.runs)),
            str(len(setting.left)),
            f"{setting.expected.method['trainable']:,}",
            f"{setting.expected.hours:.2f}",
            f"{setting.expected.memory_gib:.1f}",
            style=None if setting.left else "dim",
        )
        part = setting.part
    print_wide(table, console)
    hours = [setting.expected.hours_left(run.state) for setting in found for run in setting.left]
    queues = Table("GPUs", "Hours until the last run ends", "GPU hours", "Idle %", "Bound by")
    for column in queues.columns[:4]:
        column.justify = "right"
    for queue in (longest_first(hours, number) for number in gpus):
        queues.add_row(
            f"{queue.gpus:,}",
            f"{queue.makespan:,.1f}",
            f"{queue.gpu_hours:,.1f}",
            f"{100 * queue.idle:.0f}",
            queue.bound or MISSING,
        )
    console.print(queues)
    runs = sum(len(setting.runs) for setting in found)
    most = max(setting.expected.memory_gib for setting in found)
    beyond = sum(len(s.left) for s in found if s.expected.memory_gib > GPUS[gpu][1])
    console.print(
        f"{runs} runs in {len(found)} settings, {len(hours)} left, each on one {gpu}, the longest "
        f"first; at most {most:.1f} GiB"
        + (f", {beyond} runs need more than one {gpu} holds" if beyond else "")
        + f". {assumptions(gpu)}",
        highlight=False,
    )


def _by_setting(points: Sequence[Point]) -> list[list[Point]]:
    """Those together that differ in the seed alone, which is nothing to the plain base."""
    found = {}
    for point in points:
        found.setdefault(tuple(_without_seed(point)), []).append(point)
    return [
        runs[:1] if runs[0].config["adapter"]["name"] == "none" else runs for runs in found.values()
    ]


def _without_seed(point: Point) -> list[str]:
    return [option for option in point.options if not option.startswith("seed=")]


def _experiments(pattern: str) -> Iterator[str]:
    folder = CONFIGS / "experiment"
    for file in sorted(folder.glob(f"{pattern}.yaml")):
        yield file.relative_to(folder).with_suffix("").as_posix()


def _check_data(point: Point) -> None:
    data = point.config["data"]
    folder = Path(data["path"])
    tests = [one.test_file(folder) for one in benchmarks("all", data["suite"], folder)]
    for file in (folder / data["train_file"], *tests):
        if not file.is_file():
            raise UserError(
                f"{file}: no such file, and the hours follow from its rows; run "
                "`make data SUITE=all` first"
            )
