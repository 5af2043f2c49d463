"""Which runs there are, why, and the commands that make them: the README of a results folder."""

import math
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from denselora.errors import UserError
from denselora.files import write_text
from denselora.identity import dotted
from denselora.readers import read_text
from denselora.results.command import GROUPS, Options, training_options
from denselora.results.experiment import EXPERIMENTS, Experiment
from denselora.results.record import Record
from denselora.typeset import markdown, markdown_row

HEAD = "# The runs in this folder"
NO_EXPERIMENT = "In none of configs/experiment"


def check_inventory(folder: str | Path) -> None:
    """Raise UserError if the folder's README.md is somebody else's."""
    file = Path(folder) / "README.md"
    if file.exists() and not read_text(file, "restore it").startswith(HEAD):
        raise UserError(
            f"{file}: not written by tables.py, which writes that file; give the results_dir of "
            "reproduce.py"
        )


def write_inventory(records: Sequence[Record], folder: str | Path) -> Path:
    """Write `folder`/README.md from the records alone; returns its path."""
    file = Path(folder) / "README.md"
    write_text(file, inventory(records))
    return file


def inventory(records: Sequence[Record]) -> str:
    """Markdown: a section for each model, data and protocol, in it one for each purpose."""
    experiments = [Experiment.read(file) for file in sorted(EXPERIMENTS.rglob("*.yaml"))]
    values = {
        model: [experiment.values(model) for experiment in experiments]
        for model in {record.model.name for record in records}
    }
    sections = defaultdict(lambda: defaultdict(list))
    for record in records:
        options = options_of(record)
        title = f"{record.model.label}, {record.data.label}, protocol {record.protocol.name}"
        had = dotted(record.config or {})
        as_set = [
            experiment
            for experiment, fixed in zip(experiments, values[record.model.name], strict=True)
            if all(had.get(name, value) == value for name, value in fixed.items())
        ]
        purpose = _purpose(options, as_set) if options else NO_EXPERIMENT
        sections[title][purpose].append(options)
    lines = [
        HEAD,
        "",
        f"{len(records)} runs, each in a folder of its own in runs/. `python scripts/tables.py`",
        "writes this page from their records, as it does tables/ and figures/. docs/evaluation.md",
        "says what is in a run's folder, docs/results.md what the runs show.",
    ]
    for title, purposes in sorted(sections.items(), key=_most_runs_first):
        lines += ["", f"## {markdown(title)}", "", "| what for | runs | made by |", "|:--|--:|:--|"]
        for purpose, runs in sorted(purposes.items(), key=lambda pair: (-len(pair[1]), pair[0])):
            for number, command in _commands(runs):
                lines.append(markdown_row([purpose, str(number), command]))
                purpose = ""  # said once
    return "\n".join(lines) + "\n"


def _most_runs_first(section: tuple[str, dict[str, list]]) -> tuple[int, str]:
    title, purposes = section
    return -sum(map(len, purposes.values())), title


def options_of(record: Record) -> Options | None:
    """The options of reproduce.py that make a run; None if configs/ lacks what it was made of.

    As `training_options` has them.
    """
    evaluation = {
        f"evaluation.{key}": str(value)
        for key, value, usual in (
            ("scoring", record.evaluation.scoring, "generate"),
            ("limit", record.evaluation.limit, None),
        )
        if value != usual
    }
    trained, quantization = record.config, record.evaluation.quantization
    if trained and quantization != trained.get("quantization"):
        return None  # reproduce.py evaluates as was trained
    if trained is None:
        if record.method.name != "none":
            return None  # an adapter that other code made
        trained = {group: {"name": getattr(record, group).name} for group in GROUPS[:3]}
        trained["data"]["label"] = record.data.label
        trained["adapter"] = {"name": "none"}
        trained["quantization"] = quantization
    options = training_options(trained)
    return options and options | evaluation


def _purpose(options: Options, experiments: Sequence[Experiment]) -> str:
    """What the experiment is for that sets or varies most of a run's options, and little else.

    experiments: those that set nothing otherwise than the run has it.
    """
    own = {name for name in options if "." in name and not name.startswith("evaluation.")}
    fitting = [
        experiment
        for experiment in experiments
        if (experiment.options & own if own else not experiment.options)
        and options["adapter"] in experiment.adapters
    ]
    if not fitting:
        return NO_EXPERIMENT
    best = min(fitting, key=lambda one: (not one.swept, -len(one.options & own), len(one.options)))
    return f"{best.purpose} (`experiment={best.name}`)"


def _commands(runs: Sequence[Options | None]) -> list[tuple[int, str]]:
    """The fewest commands for the runs that set the same options, and the number of runs each."""
    alike = defaultdict(list)
    for options in runs:
        alike[tuple(options or ())].append(options)
    found = []
    for names, group in alike.items():
        if not names:
            found.append((len(group), "other configs, or `python scripts/evaluate.py`"))
            continue
        for values in sweeps(group):
            swept = (shlex.quote(f"{name}={','.join(of)}") for name, of in values.items())
            number = math.prod(map(len, values.values()))
            found.append((number, f"`python scripts/reproduce.py {' '.join(swept)}`"))
    return found


def sweeps(runs: Sequence[Options]) -> list[dict[str, list[str]]]:
    """The fewest combinations of values found that give these runs, each once, and no others.

    runs: with the same options; of several with the same values one counts. Options one by
    one, values that go with the same values of all other options are put together.
    """
    runs = [*{tuple(run.items()): run for run in runs}.values()]
    values = {name: sorted({run[name] for run in runs}, key=_as_number) for name in runs[0]}
    if math.prod(map(len, values.values())) == len(runs):
        return [values]
    found = []
    for name, different in values.items():
        classes = defaultdict(list)
        for value in different:
            those = [run for run in runs if run[name] == value]
            rest = frozenset(tuple(v for k, v in run.items() if k != name) for run in those)
            classes[rest] += those
        if len(classes) > 1:
            found.append([one for part in classes.values() for one in sweeps(part)])
    return min(found, key=len)


def _as_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return math.inf, value
