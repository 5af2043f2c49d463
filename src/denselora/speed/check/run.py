"""All checks, from config to the table, which grows as they end."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from denselora import provenance
from denselora.errors import UserError
from denselora.files import check_writable, write_json, write_text
from denselora.speed.check import answers, card, four_bit, mini, operator, passes, shapes
from denselora.speed.check.finding import Place
from denselora.speed.check.processes import Check, Outcome, run_all
from denselora.speed.parts import chosen_parts
from denselora.typeset import markdown, markdown_row

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
        Check(mini.recorded, 120),
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


def run(cfg: DictConfig) -> bool:
    """Run the checks of `parts`, print and write what they find; whether none has failed.

    Raises UserError for an unknown part, a folder that can't be written, or without a GPU.
    """
    parts = chosen_parts(cfg.parts, PARTS)
    folder = Path(cfg.output)
    check_writable(folder, "output")
    config = OmegaConf.to_container(cfg, resolve=True)
    kind = "cpu" if cfg.rehearse else "cuda"
    if kind == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    place = Place(kind, config["sizes"][kind], config)
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("no GPU here: run this where there is one, or try it with rehearse=true")
    checks = [check for name in parts for check in PARTS[name]]
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with tqdm(total=len(checks), unit="check", desc="checking") as bar:
        for outcome in run_all(checks, place, folder):
            outcomes.append(outcome)
            tqdm.write(_lines(outcome))
            bar.update()
            _write(folder, outcomes, checks, place, time.monotonic() - began)
    failed = [each for outcome in outcomes for each in outcome.failures]
    print(f"{len(checks)} checks, {len(failed)} failures; {folder}/check_gpu.md")
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    return not failed


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
    failed = sum(len(outcome.failures) for outcome in outcomes)
    lines = [
        f"{len(outcomes)} of {len(checks)} checks run, {failed} failures, {seconds:.0f} s, commit "
        f"{(git['commit'] or 'unknown')[:9]}{' with changes' if git['dirty'] else ''}.{where}",
        "",
        "| check | what | value | limit or aim | |",
        "| :-- | :-- | :-- | :-- | :-- |",
    ]
    for outcome in outcomes:
        for row in outcome.rows:
            cells = (outcome.check.name, row.what, row.value, row.limit, row.word)
            lines.append(markdown_row(map(markdown, cells)))
    write_text(folder / "check_gpu.md", "\n".join(lines) + "\n")
