"""Examples per second of each way to an answer, as a ratio to the authors' way.

The authors' way, commonsense_evaluate.py of the release: one prompt at a time through transformers'
generate with four beams.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset
from omegaconf import DictConfig
from tqdm import tqdm

from denselora.evaluation.benchmark_rows import read_benchmarks
from denselora.evaluation.respondent import Respondent, load_respondent
from denselora.evaluation.scoring import Choice, Generate, Scoring
from denselora.speed.clock import now, spread
from denselora.tasks import Benchmark, benchmark
from denselora.typeset import markdown

REFERENCE = "authors' way: batch 1"
LIBRARY_BATCH = 16

Answers = list[str | None]
Way = Callable[[Benchmark, Dataset], Answers]


def measure(cfg: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """What was asked of which model, and ``evaluation_rows``."""
    with load_respondent(cfg, overrides) as (config, respondent):
        rows = {test.benchmark.name: test.rows for test in read_benchmarks(config)}
        return {
            "model": config["model"]["label"],
            "adapter": config["adapter_path"],
            "protocol": config["protocol"]["name"],
            "precision": str(respondent.model.dtype).removeprefix("torch."),
            "examples": {name: len(test) for name, test in rows.items()},
            "rows": evaluation_rows(respondent, rows, config["batch_tokens"]),
        }


def table(measured: dict[str, Any]) -> str:
    """The rows as Markdown, under a line that says what was measured."""
    model, adapter = map(markdown, (measured["model"], measured["adapter"] or "no adapter"))
    examples = ", ".join(f"{n} of {name}" for name, n in measured["examples"].items())
    lines = [
        f"Evaluation: {model} ({adapter}), {measured['precision']}, "
        f"protocol {measured['protocol']}, {examples}.",
        "",
        "| evaluation | examples/s | ÷ authors' way | lowest–highest | same answers |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for row in measured["rows"]:
        lines.append(
            f"| {row['name']} | {row['examples_per_s']:.2f} | {row['ratio']:.2f} | "
            f"{row['lowest']:.2f}–{row['highest']:.2f} | {100 * row['same_answers']:.0f} % |"
        )
    return "\n".join(lines) + "\n"


def evaluation_rows(
    respondent: Respondent,
    rows: dict[str, Dataset],
    batch_tokens: int,
    reference_rows: int | None = None,
) -> list[dict[str, Any]]:
    """One row for each way: name, examples per second, ratio to the authors' way (median, lowest
    and highest over the benchmarks), and the share of answers equal to the authors' way's.

    rows: test rows by benchmark. Each benchmark is one round, in which every way answers the same
    rows; the order of the ways turns from round to round, so that no way always meets the machine
    in the same state. reference_rows: the authors' way answers only so many, the first.
    """
    ways = _ways(respondent, batch_tokens)
    names = list(ways)
    first = next(iter(rows))
    for way in ways.values():
        way(benchmark(first), rows[first].select([0]))  # what only the first call costs
    rates: dict[str, list[float]] = {name: [] for name in names}
    seconds, count = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    same: dict[str, list[bool]] = {name: [] for name in names}
    with tqdm(total=len(rows) * len(names), unit="way", desc="evaluation") as bar:
        for turn, (task, test) in enumerate(rows.items()):
            few = test.select(range(min(len(test), reference_rows or len(test))))
            answers = {}
            for place in range(len(names)):
                name = names[(place + turn) % len(names)]
                asked = few if name == REFERENCE else test
                began = now()
                answers[name] = ways[name](benchmark(task), asked)
                took = now() - began
                rates[name].append(len(asked) / took)
                seconds[name] += took
                count[name] += len(asked)
                bar.update()
            for name, found in answers.items():
                theirs = answers[REFERENCE]
                same[name] += [a == b for a, b in zip(found, theirs, strict=False)]
    return [
        {
            "name": name,
            "examples_per_s": count[name] / seconds[name],
            **spread([r / s for r, s in zip(rates[name], rates[REFERENCE], strict=True)]),
            "same_answers": sum(same[name]) / len(same[name]),
            "examples": count[name],
            "rounds": len(rows),
        }
        for name in names
    ]


def _ways(respondent: Respondent, batch_tokens: int) -> dict[str, Way]:
    decoding = respondent.protocol.decoding
    # as protocol clean decodes and reads, on this protocol's prompts
    one_beam = replace(
        respondent.protocol, decoding=replace(decoding, num_beams=1), whole_word_answers=True
    )
    greedy = replace(respondent, protocol=one_beam)

    def ours(kind: type[Scoring], asked: Respondent) -> Way:
        prepared = kind.prepared(asked.model)  # once for all benchmarks, as in evaluate.py

        def way(task: Benchmark, rows: Dataset) -> Answers:
            with prepared:
                found = predictions(kind(asked, task), rows, batch_tokens)
            return [row["parsed"] for row in found]

        return way

    def library(batch: int) -> Way:
        whole_word = respondent.protocol.whole_word_answers
        return lambda task, rows: [
            task.read(text, whole_word) for text in library_texts(respondent, rows, batch)
        ]

    beams = decoding.num_beams
    return {
        REFERENCE: library(1),
        f"transformers' generate: batch {LIBRARY_BATCH}, {beams} beams": library(LIBRARY_BATCH),
        f"exact: prompt once, {beams} beams": ours(Generate, respondent),
        "greedy: to the answer word": ours(Generate, greedy),
        "choice: one pass": ours(Choice, respondent),
    }


def predictions(scoring: Scoring, rows: Dataset, batch_tokens: int) -> list[dict[str, Any]]:
    """This project's predictions, in the rows' order."""
    answers = [row for some in scoring.answers(rows, (), batch_tokens) for row in some]
    return sorted(answers, key=lambda row: row["id"])


@torch.no_grad()
def library_texts(respondent: Respondent, rows: Dataset, batch: int) -> list[str]:
    """What transformers' generate writes for the rows, so many at a time."""
    model, tokenizer = respondent.model, respondent.tokenizer
    prompts = [respondent.protocol.evaluation_prompt(row) for row in rows]
    texts = []
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(prompts[start : start + batch], return_tensors="pt", padding=True)
        inputs = {name: inputs[name].to(model.device) for name in ("input_ids", "attention_mask")}
        made = model.generate(**inputs, generation_config=Generate.decoding(respondent))
        texts += tokenizer.batch_decode(
            made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
    return texts
