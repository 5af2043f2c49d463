"""Which runs there are, why, and the commands that make them: the README of a results folder."""

import json
import math
import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from denselora.command_line import quoted
from denselora.configs import CONFIGS, composed
from denselora.errors import UserError
from denselora.files import write_text
from denselora.identity import PLACE, dotted, is_name
from denselora.readers import read_text
from denselora.results.record import Record
from denselora.typeset import markdown, markdown_row

EXPERIMENTS = CONFIGS / "experiment"
GROUPS = ("model", "data", "protocol", "adapter")

HEAD = "# The runs in this folder"
PLAIN = re.compile(r"[\w./:+ -]+")  # text that Hydra's command line takes as it is
NO_EXPERIMENT = "In none of configs/experiment"

# Option -> value, as reproduce.py takes them.
Options = dict[str, str]


@dataclass(frozen=True)
class Experiment:
    """A file of configs/experiment.

    fixed: what it sets. swept: what it varies. options: both, apart from adapter and seed.
    adapters: those that it is for.
    """

    name: str
    purpose: str
    fixed: dict[str, Any]
    swept: frozenset[str]
    options: frozenset[str]
    adapters: frozenset[str]

    @classmethod
    def read(cls, file: Path) -> "Experiment":
        """Raises UserError for a file that is no experiment's."""
        text = read_text(file, "fix it")
        try:
            content = yaml.safe_load(text)
            params = content.pop("hydra", {}).get("sweeper", {}).get("params", {})
            listed = [each for each in content.pop("defaults", []) if each != "_self_"]
            defaults = {name: of for each in listed for name, of in each.items()}
        except (yaml.YAMLError, AttributeError, TypeError) as error:
            raise UserError(
                f"{file}: not an experiment's config ({' '.join(str(error).split())}); fix it"
            ) from None
        adapters = params.get("adapter") or defaults.get("override /adapter") or "denselora"
        words = " ".join(line[2:] for line in text.splitlines()[1:] if line.startswith("# "))
        return cls(
            name=file.relative_to(EXPERIMENTS).with_suffix("").as_posix(),
            # its header says it before the first command or further sentence
            purpose=re.split(r": |\. |;| python ", words)[0],
            fixed=content,
            swept=frozenset(params),
            options=frozenset({*dotted(content), *params} - {"adapter", "seed"}),
            adapters=frozenset(adapters.split(",")),
        )


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
        model: [_values(experiment, model) for experiment in experiments]
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

    In the order of the configs, and only those that aren't as they are without being named.
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


def training_options(trained: dict[str, Any]) -> Options | None:
    """The options of train.py that make a run with this resolved config; None if configs/ lacks
    what it was made of. As `options_of` has them.
    """
    try:
        named = {group: trained[group]["name"] for group in GROUPS}
    except (KeyError, TypeError):
        return None
    if not all(map(is_name, named.values())):
        return None
    groups = tuple(f"{group}={name}" for group, name in named.items())
    config = _config(*groups)
    if config is None:
        return None
    config, set_here = config.copy(), {}
    had = dotted(trained)
    if "seed" in had:
        set_here["seed"] = config.seed = had["seed"]
    while unlike := _unlike(config, had):
        # others follow those that stand for themselves, and those before them in the order
        names = [name for name in unlike if not _follows(config, name)] or unlike[:1]
        for name in names:
            set_here[name] = had[name]
            OmegaConf.update(config, name, _literal(had[name]))
    set_here |= dict.fromkeys(_missing(*groups) - set_here.keys(), "FOLDER")
    listed = dotted(OmegaConf.to_container(config))
    in_order = {name: set_here[name] for name in listed if name in set_here}
    # PEFT has more options than the configs name
    added = {
        f"+{name}": had[name]
        for name in sorted(had.keys() - listed)
        if name.startswith("adapter.peft.")
    }
    return named | {name: _text(value) for name, value in (in_order | added).items()}


@cache
def _config(*groups: str) -> DictConfig | None:
    """train.py's config with these groups; None if configs/ lacks one."""
    try:
        return composed("train", groups)
    except HydraException:
        return None


@cache
def _missing(*groups: str) -> set[str]:
    """The options of that config that have no value."""
    return OmegaConf.missing_keys(_config(*groups))


def _follows(config: DictConfig, name: str) -> bool:
    """Whether an option is what others say, unless it is set."""
    group, _, key = name.rpartition(".")
    return OmegaConf.is_interpolation(OmegaConf.select(config, group) if group else config, key)


def _unlike(config: DictConfig, had: dict[str, Any]) -> list[str]:
    """Options that a run had otherwise, in the config's order; what either lacks is passed over."""
    now = dotted(OmegaConf.to_container(config, resolve=True))
    return [name for name in now if name in had and name not in PLACE and now[name] != had[name]]


def _literal(value: Any) -> Any:
    """A record's value so that OmegaConf, which would interpolate it, gives it back as it is."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", value)
    return [_literal(each) for each in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    """A value as Hydra's command line has it."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return value if PLAIN.fullmatch(value) and value.lower() != "null" else quoted(value)


def _values(experiment: Experiment, model: str) -> dict[str, Any]:
    """What an experiment sets for a model, by dotted name."""
    config = OmegaConf.create({"model": {"name": model}} | experiment.fixed)
    found = dotted(OmegaConf.to_container(config, resolve=True))
    return {name: found[name] for name in dotted(experiment.fixed)}


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
