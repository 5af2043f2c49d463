"""Hours and memory that a run is expected to take on a named GPU: arithmetic, not measurement."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from denselora.data.rows import read_rows
from denselora.data.subset import size
from denselora.errors import UserError
from denselora.methods import describe
from denselora.reproduce.point import Point
from denselora.tasks import benchmarks
from denselora.training.job import Job
from denselora.training.plan import empty_model, memory

# dense half-precision TFLOP/s and GiB, from NVIDIA's data sheets
GPUS = {
    "RTX3090": (71, 24),
    "L40S": (362, 48),
    "A100": (312, 80),
    "H100": (989, 80),
    "H200": (989, 141),
}
UTILISATION = 0.35
CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 8
SAMPLE = 1000


@dataclass(frozen=True)
class Estimate:
    """method: as `methods.describe` gives it. hours, memory_gib: on one GPU."""

    method: dict[str, Any]
    training_hours: float
    evaluation_hours: float
    memory_gib: float

    @property
    def hours(self) -> float:
        return self.training_hours + self.evaluation_hours

    def hours_left(self, state: str) -> float:
        """Of a run in one of states.STATES; what a stopped one has done isn't taken off."""
        return self.evaluation_hours if state == "trained" else self.hours


def assumptions(gpu: str) -> str:
    """In one sentence, what the estimates rest on. Raises UserError for an unknown GPU."""
    if gpu not in GPUS:
        raise UserError(f"gpu={gpu}: estimates are for one of {', '.join(GPUS)}")
    tflops, gib = GPUS[gpu]
    return (
        f"Hours and memory are estimates for one {gpu} ({gib} GiB), not measured: a trained token "
        "costs 4 FLOP a parameter (6 with gradient checkpointing or full fine-tuning), an "
        f"evaluated one 2; {CHARACTERS_PER_TOKEN} characters a token, answers of {ANSWER_TOKENS} "
        f"tokens a beam, no padding; {UTILISATION:.0%} of {tflops} TFLOP/s; memory of training "
        "with rows as long as the cut-off, in bf16."
    )


def estimate(point: Point, gpu: str) -> Estimate:
    """What a run will take. Needs the model's config and the data, no weights.

    Raises UserError for missing data or options that can't be.
    """
    job = Job.from_config(OmegaConf.create(point.config))
    data, settings = job.config["data"], job.settings
    folder = Path(data["path"])
    trained, steps, evaluated = 0.0, 0, 0
    if point.evaluation:
        tests = [
            _measure(benchmark.test_file(folder))
            for benchmark in benchmarks("all", data["suite"], folder)
        ]
        limit = point.evaluation["limit"] or max(n for n, _ in tests)
        answer = job.protocol.decoding.num_beams * ANSWER_TOKENS
        evaluated = sum(min(limit, n) * (prompt + answer) for n, prompt in tests)
    adapter = job.config["adapter"]["name"]
    if adapter != "none":
        rows, length = _measure(job.train_file, job.protocol.cutoff)
        rows = settings.without_validation(rows, job.train_file)
        steps = settings.steps(size(rows, data["fraction"], data["n_train"]))
        trained = steps * settings.global_batch_size * length
    method, held = _method_and_bytes(job, steps)
    per_token = 6 if settings.gradient_checkpointing or adapter == "full" else 4
    flop_per_hour = GPUS[gpu][0] * 1e12 * UTILISATION * 3600
    training, evaluation = (
        method["total"] * each / flop_per_hour for each in (per_token * trained, 2 * evaluated)
    )
    return Estimate(method, training, evaluation, held / 2**30)


@functools.cache
def _measure(file: Path, cutoff: int | None = None) -> tuple[int, float]:
    """Rows of a file, and the mean tokens of a sample's texts."""
    rows = read_rows(file, scored=cutoff is None)
    sample = rows.select(range(0, len(rows), max(1, len(rows) // SAMPLE)))
    fields = ("instruction", "input") + (("output",) if cutoff else ())
    tokens = [sum(len(row[name]) for name in fields) / CHARACTERS_PER_TOKEN for row in sample]
    return len(rows), sum(min(cutoff or n, n) for n in tokens) / len(tokens)


_built: dict[str, tuple[dict[str, Any], float]] = {}


def _method_and_bytes(job: Job, steps: int) -> tuple[dict[str, Any], float]:
    """The method's parameters, and the bytes of training on one device; kept for further runs of
    the same size."""
    config = job.config
    decides = [
        config["model"]["path"],
        config["adapter"],
        config["quantization"],
        config["trainer"],
    ]
    key = json.dumps([*decides, job.protocol.cutoff], sort_keys=True)
    if key not in _built:
        model = empty_model(job, steps)
        if config["adapter"]["name"] == "none":
            size = sum(p.numel() for p in model.parameters()) * torch.bfloat16.itemsize
        else:
            size = sum(memory(job, model, job.protocol.cutoff, torch.bfloat16).values())
        _built[key] = describe(model, config["adapter"]), size
    return _built[key]
