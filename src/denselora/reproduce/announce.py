"""Before the first run of reproduce.py: checks, and the plan. After the last: the tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write
from rich.table import Table

from denselora.command_line.entry_point import errors_in_one_line
from denselora.command_line.fields import FLAGS
from denselora.command_line.overrides import quoted
from denselora.evaluation.neutral_text import find_text
from denselora.evaluation.scoring import scoring_kind
from denselora.files import check_writable
from denselora.models import check_access
from denselora.reproduce.estimate import assumptions, estimate
from denselora.reproduce.grid import add_to_grids, learning_rate_ratio
from denselora.reproduce.plan import print_plan
from denselora.reproduce.point import Point
from denselora.reproduce.points import check_search, check_sweeps, every_point, point_of
from denselora.reproduce.script import run_script
from denselora.reproduce.states import note_plan
from denselora.results.record import read_records
from denselora.results.tables import print_table
from denselora.tasks import benchmarks
from denselora.training.run_folder import RunFolder
from denselora.typeset import MISSING, one_line, print_wide


class Announce(Callback):
    """Hydra calls it around all runs together, whatever launches them.

    tables: make tables, figures and report at the end; false where another call follows.
    """

    def __init__(self, tables: bool) -> None:
        self._tables = tables

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check models and data, fetch what is published, print the plan and note it in runs_dir.

        A user's mistake ends it all in one line here, before anything is trained.
        """
        with errors_in_one_line():
            self._points = points = _points(config)
            for option in ("runs_dir", "results_dir"):
                check_writable(Path(config[option]), option)
            evaluated = [point for point in points if point.evaluation]
            for name in dict.fromkeys(point.evaluation["scoring"] for point in evaluated):
                scoring_kind(name)
            for path in dict.fromkeys(point.config["model"]["path"] for point in points):
                check_access(path)
            for suite in dict.fromkeys(filter(None, map(_fetched, points))):
                run_script("prepare_data.py", suite)
            _check_evaluations(evaluated)
            planned = [(point, estimate(point, config.gpu)) for point in points]
            print_plan(planned, config.gpu)
            for point in points if _lists_runs(config) else []:
                if not point.plan_alone:
                    note_plan(point.folder, point.options)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the table and write tables, figures and the report anew; of runs that were only
        trained, their validation losses, which go into grids.csv."""
        if all(point.plan_alone for point in self._points):
            return
        if config.evaluation is None and _lists_runs(config):
            with errors_in_one_line():
                _note_grid(self._points, Path(config.results_dir))
            return
        if not self._tables or not Path(config.results_dir).is_dir():  # no run has got so far
            return
        with errors_in_one_line():
            print_table(read_records(config.results_dir))
            tracker = "wandb" if config.tracker == "wandb" else "null"
            results = f"results_dir={quoted(config.results_dir)}"
            run_script("tables.py", results, f"tracker={tracker}")
            print("All of it to look through, in a browser:", flush=True)
            run_script("report.py", results)


def _note_grid(points: list[Point], results: Path) -> None:
    ended = [run for point in points if (run := RunFolder(point.folder).trained())]
    if not ended:
        return
    table = Table("Run", "Validation loss in nats")
    table.columns[1].justify = "right"
    for run in ended:
        loss, why = run.training.validation_loss_nats, run.training.collapsed
        ratio = learning_rate_ratio(run)
        table.add_row(
            one_line(f"{run.run_id}, learning rate {run.config['trainer']['learning_rate']}")
            + (f", ratio {ratio}" if ratio else ""),
            one_line((MISSING if loss is None else f"{loss:.4f}") + (f" ({why})" if why else "")),
        )
    print_wide(table)
    print(
        f"in {add_to_grids(ended, results)}; tuned=true takes the rate with the least", flush=True
    )


def _points(config: DictConfig) -> list[Point]:
    """One for each combination; of a sweeper that makes up its own values, one to start from."""
    sweeper, task = config.hydra.sweeper, list(config.hydra.overrides.task)
    assumptions(config.gpu)
    tuned = FLAGS.get(str(config.tuned).lower(), False)
    if not _lists_runs(config):
        name = sweeper._target_.rpartition(".")[2]
        check_search(name, task, config.trainer, tuned)
        print(f"{sweeper.n_trials} runs like this one, {', '.join(sweeper.params)} by {name}:")
        return [point_of(task)]
    check_sweeps(task, tuned)
    if tuned and sweeper.params:  # an experiment's grid over the rate that is chosen
        with read_write(config), open_dict(sweeper.params):
            sweeper.params.pop("trainer.learning_rate", None)
    points = every_point(task, sweeper.params)
    # the plain base is the same under all seeds
    return list({(point.folder, str(point.evaluation)): point for point in points}.values())


def _check_evaluations(points: Sequence[Point]) -> None:
    """Raise UserError for what an evaluation, after its training, would fail at."""
    asked = [point.evaluation | {"data": point.config["data"]} for point in points]
    for each in {json.dumps(each, sort_keys=True): each for each in asked}.values():
        data, kind = each["data"], scoring_kind(each["scoring"])
        find_text(each["neutral_text"], data["path"], each["limit"])
        for benchmark in benchmarks("all", data["suite"], Path(data["path"])):
            kind.check(benchmark)


def _lists_runs(config: DictConfig) -> bool:
    """Whether the sweeper's runs are known beforehand."""
    return config.hydra.sweeper._target_.endswith("BasicSweeper")


def _fetched(point: Point) -> str | None:
    """The suite that scripts/prepare_data.py puts where the data is looked for, if it does."""
    data = point.config["data"]
    return data["suite"] if Path(data["path"]) == Path("data") / data["suite"] else None
