"""The embedded mini model on the GPU, by the scripts that a user calls."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from denselora.errors import UserError
from denselora.speed.check.finding import Finding, Place

SCRIPTS = Path(__file__).parents[4] / "scripts"
DETERMINISTIC = ("deterministic=true", "trainer.save_steps=5")


def losses(place: Place) -> Iterator[Finding]:
    """The loss curve of the GPU and of the CPU for one seed, fp32, without dropout."""
    options = ("adapter.dropout=0", "trainer.precision=fp32")
    yield losses_apart(place, "GPU and CPU", 0.001, options, options, other_on_cpu=True)


def resumed(place: Place) -> Iterator[Finding]:
    """Killed and resumed, the adapter is that of a run without a break, bit for bit."""
    yield from _killed(place, "bf16" if place.is_gpu else "fp32")


def resumed_recorded(place: Place) -> Iterator[Finding]:
    """The same with trainer.cuda_graphs."""
    if not place.is_gpu:
        yield Finding("killed and resumed, trainer.cuda_graphs", "skipped: needs a GPU")
        return
    yield from _killed(place, "bf16, trainer.cuda_graphs", "trainer.cuda_graphs=true")


def recorded(place: Place) -> Iterator[Finding]:
    """Losses with trainer.cuda_graphs are those without, for products that autocast casts."""
    if not place.is_gpu:
        yield Finding("losses, trainer.cuda_graphs", "skipped: needs a GPU")
        return
    for name, options in {
        "PEFT's LoRA": ("adapter=lora",),
        "naive DenseLoRA": ("trainer.fused=never",),
    }.items():
        ways = [
            ("adapter.dropout=0", *options, f"trainer.cuda_graphs={way}")
            for way in ("true", "false")
        ]
        yield losses_apart(place, f"{name}, recorded and not", 0.02, *ways)


def losses_apart(
    place: Place,
    name: str,
    limit: float,
    one: Sequence[str],
    other: Sequence[str],
    other_on_cpu: bool = False,
) -> Finding:
    """How far the losses of two runs with these options are apart, side by side: the largest
    |one - other| / other, which may be the limit."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            start(place, f"{folder}/one", *one),
            start(place, f"{folder}/other", *other, on_cpu=other_on_cpu),
        ]
        for run in runs:
            end(run)
        ours, theirs = (losses_of(f"{folder}/{name}") for name in ("one", "other"))
    off = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
    what = f"loss of {len(ours)} steps, {name}, furthest apart"
    return Finding(what, f"{off:.1e}", f"at most {limit:g}", off <= limit)


def _killed(place: Place, what: str, *options: str) -> Iterator[Finding]:
    options = (*DETERMINISTIC, *options)
    with tempfile.TemporaryDirectory() as folder:
        whole = start(place, f"{folder}/whole", *options)
        broken = start(place, f"{folder}/broken", *options)
        metrics = Path(folder, "broken", "metrics.jsonl")
        while broken.poll() is None and len(_lines(metrics)) < 7:
            time.sleep(0.01)
        broken.send_signal(signal.SIGKILL)
        broken.wait()
        stopped = len(_lines(metrics))
        end(start(place, f"{folder}/broken", *options, "resume=true"))
        end(whole)
        one, other = (
            Path(folder, name, "adapter", "adapter_model.safetensors").read_bytes()
            for name in ("whole", "broken")
        )
    value = "equal to the bit" if one == other else "differs"
    yield Finding(
        f"{what}: killed after step {stopped} of {place.sizes['mini_steps']}, resumed",
        value, "equal to the bit", one == other,
    )  # fmt: skip


def start(place: Place, output: str, *options: str, on_cpu: bool = False) -> subprocess.Popen:
    command = [
        sys.executable, str(SCRIPTS / "train.py"), "model=mini", "data=mini", "adapter=denselora",
        f"trainer.max_steps={place.sizes['mini_steps']}", "trainer.validation_rows=0",
        f"output_dir={output}", *options,
    ]  # fmt: skip
    environment = os.environ | ({"ACCELERATE_USE_CPU": "true"} if on_cpu else {})
    return subprocess.Popen(
        command, cwd=SCRIPTS.parent, env=environment, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    if process.returncode:
        last = (errors.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"scripts/train.py ended with {process.returncode}: {last}")


def _lines(metrics: Path) -> list[str]:
    return metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []


def losses_of(run: str) -> list[float]:
    return [json.loads(line)["loss_nats"] for line in _lines(Path(run, "metrics.jsonl"))]
