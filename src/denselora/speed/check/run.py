"""All checks, each in a process of its own with its own time limit; the table grows as they end."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from denselora import provenance
from denselora.errors import UserError, first_line
from denselora.files import check_writable, write_json, write_text
from denselora.speed.check import answers, card, four_bit, mini, operator, passes, shapes
from denselora.speed.check.finding import Finding, Place

REHEARSAL = 10  # times as long a check may take on a CPU
Function = Callable[[Place], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One process. seconds: after which it is stopped. alone: because it measures time."""

    function: Function
    seconds: int
    alone: bool = False

    @property
    def name(self) -> str:
        return f"{self.function.__module__.rpartition('.')[2]}: {self.function.__name__}"

    @property
    def about(self) -> str:
        return (self.function.__doc__ or "").splitlines()[0]


# in the order in which they are worth the time; the parts' names are those of `parts=[...]`
PARTS: dict[str, tuple[Check, ...]] = {
    "card": (Check(card.card, 60, alone=True),),
    "operator": (
        Check(operator.bf16, 120),
        Check(operator.fp32, 120),
        Check(operator.fp16, 120),
        Check(operator.activations, 120),
        Check(operator.contexts, 120),
        Check(operator.repeats, 120),
        Check(operator.masks, 60),
    ),
    "passes": (
        Check(passes.attention, 60),
        Check(passes.gradients, 120),
        Check(passes.recorded, 120),
    ),
    "mini": (
        Check(mini.losses, 120),
        Check(mini.resumed, 120),
        Check(mini.resumed_recorded, 120),
        Check(answers.beams, 90),
        Check(answers.choice, 90),
    ),
    "speed": (
        Check(shapes.step_2048, 60, alone=True),
        Check(shapes.loop, 90, alone=True),
        Check(shapes.step_512, 60, alone=True),
        Check(shapes.step_8192, 60, alone=True),
    ),
    "evaluation": (Check(answers.speed, 90, alone=True),),
    "compile": (Check(shapes.compiled, 120, alone=True),),
    "four_bit": (Check(four_bit.four_bit, 90),),
}


@dataclass
class Outcome:
    """A check that has ended, or not yet."""

    check: Check
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    failure: str | None = None

    @property
    def rows(self) -> list[Finding]:
        failed = [Finding("the check itself", self.failure, "ends", False)] if self.failure else []
        return self.findings + failed


def run(cfg: DictConfig) -> bool:
    """Run the checks of `parts`, print and write what they find; whether none has failed.

    Raises UserError for an unknown part, a folder that can't be written, or without a GPU.
    """
    unknown = [name for name in cfg.parts if name not in PARTS]
    if unknown:
        raise UserError(f"parts: {unknown[0]} is none of {', '.join(PARTS)}")
    folder = Path(cfg.output)
    check_writable(folder, "output")
    config = OmegaConf.to_container(cfg, resolve=True)
    kind = "cpu" if cfg.rehearse else "cuda"
    if kind == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    place = Place(kind, config["sizes"][kind], config)
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("no GPU here: run this where there is one, or try it with rehearse=true")
    checks = [check for name in cfg.parts for check in PARTS[name]]
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with tqdm(total=len(checks), unit="check", desc="checking") as bar:
        for outcome in _run(checks, place, folder):
            outcomes.append(outcome)
            tqdm.write(_lines(outcome))
            bar.update()
            _write(folder, outcomes, checks, place, time.monotonic() - began)
    failed = [
        f"{o.check.name}: {row.what}" for o in outcomes for row in o.rows if row.passed is False
    ]
    print(f"{len(checks)} checks, {len(failed)} failures; {folder}/check_gpu.md")
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    return not failed


@dataclass
class _Process:
    """A check's process; it has imported everything before it is given the word to begin."""

    outcome: Outcome
    process: multiprocessing.Process
    pipe: Connection
    limit: float
    began: float | None = None

    def begin(self) -> None:
        self.pipe.send("begin")
        self.began = time.monotonic()

    def stop_if_late(self) -> None:
        if time.monotonic() - self.began > self.limit and not self.outcome.failure:
            self.outcome.failure = f"stopped: no end within {self.limit:.0f} s"
            os.killpg(self.process.pid, signal.SIGKILL)


def _run(checks: Sequence[Check], place: Place, folder: Path) -> Iterator[Outcome]:
    """Start them in their order, those that measure time alone; give each outcome as it ends."""
    most = max(1, (os.cpu_count() or 1) // 2) if place.is_gpu else 1
    waiting, running = list(checks), []
    prepared: list[_Process] = []
    while waiting or prepared or running:
        while waiting and len(prepared) < most - len(running) + 1:
            prepared.append(_prepare(waiting.pop(0), place, folder))
        while prepared and _may_begin(prepared[0], running, most):
            running.append(prepared.pop(0))
            running[-1].begin()
        ready = wait([each.pipe for each in running], timeout=0.2)
        for each in [each for each in running if each.pipe in ready]:
            try:
                said = each.pipe.recv()
            except (EOFError, OSError):  # it has ended
                each.process.join()
                running.remove(each)
                outcome = each.outcome
                if each.process.exitcode and not outcome.failure:
                    outcome.failure = _ending(each.process.exitcode)
                outcome.seconds = time.monotonic() - each.began
                yield outcome
                continue
            if isinstance(said, Finding):
                each.outcome.findings.append(said)
            else:
                each.outcome.failure = said
        for each in running:
            each.stop_if_late()


def _prepare(check: Check, place: Place, folder: Path) -> _Process:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    log = folder / f"{check.name.replace(': ', '-')}.log"
    process = context.Process(target=_child, args=(check, place, theirs, log))
    process.start()
    theirs.close()
    limit = check.seconds * (1 if place.is_gpu else REHEARSAL)
    return _Process(Outcome(check), process, ours, limit)


def _may_begin(next_: _Process, running: Sequence[_Process], most: int) -> bool:
    if next_.outcome.check.alone or any(each.outcome.check.alone for each in running):
        return not running
    return len(running) < most


def _child(check: Check, place: Place, pipe: Connection, log: Path) -> None:
    """The process of one check: its output goes to a file, what it finds through the pipe."""
    os.setsid()  # so that what it starts ends with it
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = 0
        pipe.recv()
        try:
            if not place.is_gpu:
                _use_the_kernels()
            for finding in check.function(place):
                pipe.send(finding)
        except BaseException as error:
            traceback.print_exc()
            pipe.send(f"{type(error).__name__}: {first_line(error)}")
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
    pipe.close()
    sys.exit(code)


def _use_the_kernels() -> None:
    """In a rehearsal the GPU's kernels serve the CPU's tensors, in Triton's interpreter."""
    from denselora.adapter.fused import gpu
    from denselora.adapter.fused import operator as fused

    fused.code = lambda device: gpu


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _lines(outcome: Outcome) -> str:
    head = f"{outcome.check.name} ({outcome.seconds:.0f} s) {outcome.check.about}"
    rows = [
        f"  {row.word:6} {row.what}: {row.value}" + (f" ({row.limit})" if row.limit else "")
        for row in outcome.rows
    ]
    return "\n".join([head, *rows])


def _write(
    folder: Path, outcomes: Sequence[Outcome], checks: Sequence[Check], place: Place, seconds: float
) -> None:
    """check_gpu.json and check_gpu.md, whole after each check."""
    git, done = provenance.git_state(), {outcome.check.name for outcome in outcomes}
    content: dict[str, Any] = {
        "place": place.device,
        "git": git,
        "seconds": round(seconds, 1),
        "checks": [
            {
                "name": outcome.check.name,
                "about": outcome.check.about,
                "seconds": round(outcome.seconds, 1),
                "findings": [row.as_dict() for row in outcome.rows],
            }
            for outcome in outcomes
        ],
        "not_run": [check.name for check in checks if check.name not in done],
    }
    write_json(folder / "check_gpu.json", content)
    where = "" if place.is_gpu else " A rehearsal on a CPU: its times mean nothing."
    lines = [
        f"{len(outcomes)} of {len(checks)} checks, {seconds:.0f} s, commit "
        f"{(git['commit'] or 'unknown')[:9]}{' with changes' if git['dirty'] else ''}.{where}",
        "",
        "| check | what | value | limit or aim | |",
        "| :-- | :-- | :-- | :-- | :-- |",
    ]
    for outcome in outcomes:
        for row in outcome.rows:
            cells = (outcome.check.name, row.what, row.value, row.limit, row.word)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    write_text(folder / "check_gpu.md", "\n".join(lines) + "\n")
