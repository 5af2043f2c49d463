"""The evaluation on the GPU: the same answers as the plain ways, and how many a second."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from denselora.adapter import DenseLoraConfig
from denselora.data.rows import read_rows
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import Choice, Generate
from denselora.models import load_base, load_tokenizer
from denselora.protocol import Protocol
from denselora.speed.check.finding import Finding, Place
from denselora.speed.check.passes import TARGETS
from denselora.speed.check.shapes import BLOCK, ENDS, fitting_blocks, skipped
from denselora.speed.evaluation import evaluation_rows, library_texts, predictions
from denselora.tasks import benchmark

TASKS = ("boolq", "piqa", "ARC-Easy")
BATCH_TOKENS = 8192


def beams(place: Place) -> Iterator[Finding]:
    """Exact beams against transformers' generate, one row at a time, in fp32: every character."""
    asked = _respondent(place, _mini(place, place.device))
    for task, rows in _rows(place, place.sizes["rows"]).items():
        found = predictions(Generate(asked, benchmark(task)), rows, BATCH_TOKENS)
        theirs = library_texts(asked, rows, batch=1)
        same = sum(row["raw"] == text for row, text in zip(found, theirs, strict=True))
        yield Finding(f"{task}: the same text", f"{same} of {len(rows)}", "all", same == len(rows))


def choice(place: Place) -> Iterator[Finding]:
    """Log-likelihoods of the options, GPU and CPU, in fp32."""
    there, here = (_respondent(place, _mini(place, device)) for device in (place.device, "cpu"))
    for task, rows in _rows(place, place.sizes["rows"]).items():
        found, theirs = (
            [
                row["log_likelihood_nats"]
                for row in predictions(Choice(asked, benchmark(task)), rows, BATCH_TOKENS)
            ]
            for asked in (there, here)
        )
        apart = [abs(a[w] - b[w]) for a, b in zip(found, theirs, strict=True) for w in a]
        off = float(np.max(apart))  # NaN if one is
        # each is rounded to four digits
        yield Finding(f"{task}: furthest apart, nats", f"{off:.1e}", "at most 2e-4", off < 2.01e-4)


def speed(place: Place) -> Iterator[Finding]:
    """Rows a second at LLaMA3-8B's shapes with random weights, against the authors' way.

    Random weights never end an answer, so that every beam goes on to the longest.
    """
    wanted = place.sizes["loop_layers"]
    layers = fitting_blocks(place, ENDS + 6, BLOCK, wanted)
    if not layers:
        yield skipped(place, ENDS + 6 + BLOCK)
        return
    torch.manual_seed(0)
    dtype = torch.bfloat16 if place.is_gpu else torch.float32
    with torch.device(place.device):
        base = LlamaForCausalLM(
            LlamaConfig(**place.sizes["shape"], num_hidden_layers=layers, eos_token_id=2)
        )
    base = base.to(dtype).eval()
    base.add_adapter(DenseLoraConfig(r=16, init_weights=False, target_modules=TARGETS))
    asked = _respondent(place, base)
    rows = _rows(place, place.sizes["speed_rows"])
    with torch.inference_mode():
        measured = evaluation_rows(asked, rows, BATCH_TOKENS, place.sizes["reference_rows"])
    for row in measured:
        what = f"{layers} of {wanted} blocks, {row['name']}: rows/s, ÷ authors' way"
        ratio = f"{row['ratio']:.1f} ({row['lowest']:.1f}–{row['highest']:.1f})"
        aim = {"exact": "aim 30", "choice": "aim 60"}.get(row["name"].split(":")[0], "")
        yield Finding(what, f"{row['examples_per_s']:.2f}, {ratio}", aim)


def _mini(place: Place, device: str) -> PreTrainedModel:
    path = place.config["model"]["path"]
    return load_base(path, torch.float32, torch.device(device)).eval()


def _respondent(place: Place, model: PreTrainedModel) -> Respondent:
    tokenizer = load_tokenizer(place.config["model"]["path"])
    return Respondent(model, tokenizer, Protocol.from_config(place.config["protocol"]))


def _rows(place: Place, count: int) -> dict[str, Dataset]:
    folder = Path(place.config["data"]["path"])
    read = {task: read_rows(folder / task / "test.json", scored=True) for task in TASKS}
    return {task: rows.select(range(min(count, len(rows)))) for task, rows in read.items()}
