"""One run of an experiment: train, evaluate, record; what is done already is skipped."""

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from denselora.command_line.configs import CONFIGS, composed
from denselora.command_line.overrides import option_name, quoted
from denselora.errors import UserError
from denselora.evaluation.evaluation_folder import suffix
from denselora.evaluation.neutral_text import find_text
from denselora.identity import NAMED, dotted, run_id
from denselora.lock import is_locked
from denselora.reproduce.gpu import one_gpu
from denselora.reproduce.options import Reproduce
from denselora.reproduce.script import run_script
from denselora.reproduce.states import claimed, state_of
from denselora.reproduce.tuning import Choice, best_learning_rate
from denselora.results.command import as_typed
from denselora.results.record import RECORD, read_record
from denselora.training.options import Train
from denselora.training.run_folder import RunFolder

# what configs/reproduce.yaml has beyond train.yaml
OWN = {field.name for field in fields(Reproduce)} - {field.name for field in fields(Train)}
# states in which a run has nothing left to do
OVER = ("done", "diverged")


@dataclass(frozen=True)
class Point:
    """options: train.py's. config: its resolved config. evaluation: options of evaluate.py; None to
    train only. choice: of its learning rate, with tuned=true."""

    options: list[str]
    config: dict[str, Any]
    evaluation: dict[str, Any] | None
    folder: Path
    records: Path
    choice: Choice | None = None

    @classmethod
    def of(cls, cfg: DictConfig, overrides: Sequence[str]) -> "Point":
        """From the composed config of reproduce.py and the options it was composed with.

        Raises UserError if there is nothing to do.
        """
        config = OmegaConf.to_container(cfg, resolve=True)
        own = {key: config.pop(key) for key in OWN}
        if own["evaluation"] is None and config["adapter"]["name"] == "none":
            raise UserError("evaluation=null: adapter=none isn't trained either; leave one out")
        options = [
            option for option in overrides if option_name(option).partition(".")[0] not in OWN
        ]
        choice = None
        if own["tuned"] and config["adapter"]["name"] != "none":
            choice = best_learning_rate(config, Path(own["runs_dir"]))
            config["trainer"]["learning_rate"] = choice.rate
            options.append(f"trainer.learning_rate={choice.rate}")
        return cls(
            options=options,
            config=config,
            evaluation=own["evaluation"],
            folder=Path(own["runs_dir"]) / run_id(_decisive(config)),
            records=Path(own["results_dir"]) / "runs",
            choice=choice,
        )

    @property
    def evaluation_folder(self) -> Path:
        """evaluation/, or evaluation-choice-limit100/ and the like."""
        of = suffix(self.evaluation["scoring"], self.evaluation["limit"])
        return self.folder / f"evaluation{of}"

    @property
    def plan_alone(self) -> bool:
        """Whether the run is only to say what it would do: trainer.max_steps=0."""
        return self.config["trainer"]["max_steps"] == 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to do: all benchmarks are evaluated, and that is published."""
        if self.evaluation is None:
            return RunFolder(self.folder).finished
        file = self.evaluation_folder / RECORD
        if not file.is_file():
            return False
        record = read_record(file)
        published = self.records / record.run_id / RECORD
        asked = _text_hash(
            self.evaluation["neutral_text"], self.config["data"]["path"], self.evaluation["limit"]
        )
        measured = record.neutral_text and record.neutral_text.hash
        return record.average is not None and published.is_file() and asked in (None, measured)

    @property
    def state(self) -> str:
        """One of states.STATES; done means the evaluation that is asked for."""
        state = state_of(self.folder).state
        failed_after = state == "failed" and RunFolder(self.folder).finished
        if state in ("done", "trained") or failed_after:
            return "done" if self.done else "trained"
        return state

    def run(self, patience_s: float = 0) -> float | None:
        """Train and evaluate, or evaluate the plain base where there is nothing to train.

        patience_s: how long to wait for a process that still holds the run. Returns `outcome()`.
        Raises UserError for a step that failed; exits with code 75 when it was stopped.
        """
        if self.plan_alone:
            if self.config["adapter"]["name"] != "none":
                print(f"\n== {' '.join(self.options)}", flush=True)
                run_script("train.py", *self.options)
            return None
        # the plain base of another seed, which is the same, may be evaluated beside this one
        self._wait(math.inf if self.config["adapter"]["name"] == "none" else patience_s)
        if self.state not in OVER:
            print(f"\n== {' '.join(self.options)}: {self.folder}", flush=True)
            with claimed(self.folder, self.options) as note, one_gpu() as environment:
                try:
                    self._steps(environment)
                except UserError as error:
                    note("failed", str(error))
                    raise
                except (SystemExit, KeyboardInterrupt):
                    note("stopped")
                    raise
                note("done")
        if self.state == "diverged":
            print(f"{self.folder}: diverged; delete the folder to run it again")
        return self.outcome()

    def outcome(self) -> float | None:
        """The validation loss in nats for a sweeper to minimise: infinite if the run diverged or
        collapsed, None if it had no validation rows."""
        if self.state == "diverged":
            return float("inf")
        trained = RunFolder(self.folder).trained()
        if trained and trained.training.collapsed:
            return float("inf")
        return trained.training.validation_loss_nats if trained else None

    def _wait(self, patience_s: float) -> None:
        """For a process that was asked to stop and is still saving this run."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until and (
            is_locked(self.folder) or state_of(self.folder).state == "running"
        ):
            time.sleep(1)

    def _steps(self, environment: dict[str, str]) -> None:
        if self.config["adapter"]["name"] == "none":
            subject = self._base()
        else:
            run = RunFolder(self.folder)
            subject = [f"adapter_path={quoted(str(run.adapter))}"]
            where = [f"output_dir={quoted(str(self.folder))}", "resume=true"]
            try:
                if not run.finished:
                    run_script("train.py", *self.options, *where, environment=environment)
            except UserError:
                if run.diverged:
                    return  # which is an outcome
                raise
        if self.evaluation is None:
            return
        run_script(
            "evaluate.py",
            *subject,
            *(f"{key}={'null' if v is None else v}" for key, v in self.evaluation.items()),
            f"output_dir={quoted(str(self.evaluation_folder))}",
            f"record_dir={quoted(str(self.records))}",
            environment=environment,
        )

    def _base(self) -> list[str]:
        """The options of evaluate.py for the plain base: model, data, protocol and quantization as
        they are here, whoever has set them."""
        groups = ("model", "data", "protocol")
        given = dict(option.partition("=")[::2] for option in self.options)
        named = {group: given.get(group, self.config[group]["name"]) for group in groups}
        chosen = [
            f"{group}={name}"
            for group, name in named.items()
            if (CONFIGS / group / f"{name}.yaml").is_file()
        ]
        there = dotted(OmegaConf.to_container(composed("evaluate", chosen), resolve=True))
        wanted = dotted({group: self.config[group] for group in (*groups, "quantization")})
        return chosen + [
            f"{name}={as_typed(value)}"
            for name, value in wanted.items()
            if name not in there or there[name] != value
        ]


@functools.cache  # the runs of a sweep have one text, and each is asked for its state repeatedly
def _text_hash(neutral_text: str | None, data: str, limit: int | None) -> str | None:
    text = find_text(neutral_text, data, limit)
    return text and text.hash


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    """What makes a run another: of the plain base, neither seeds nor what concerns a training."""
    if config["adapter"]["name"] != "none":
        return config
    return {key: config[key] for key in (*NAMED, "quantization")} | {"seed": 0}
