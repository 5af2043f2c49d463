"""All benchmarks of one model, to JSON and a Markdown table."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from denselora import provenance
from denselora.benchmarks.evaluation import evaluation_rows
from denselora.evaluation.adapter import adapted, read_training
from denselora.evaluation.suite import follow, read_benchmarks
from denselora.folders import check_writable, write_json, write_text
from denselora.models import load_base, load_tokenizer, precision
from denselora.protocol import Protocol


def run(cfg: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Measure, print the table, and write both forms where `output` says; returns the JSON's
    content.
    """
    folder = Path(cfg.adapter_path) if cfg.adapter_path else None
    training = read_training(folder) if folder else None
    config = follow(cfg, [folder], [training], overrides)
    if config["output"]:
        check_writable(Path(config["output"]).parent, "output")
    _, rows = read_benchmarks(config)
    path = config["model"]["path"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(path)
    base = load_base(path, precision(device), device).eval()
    with adapted(base, folder, training, path) if folder else nullcontext(base) as model:
        measured = evaluation_rows(
            model, tokenizer, Protocol.from_config(config["protocol"]), rows, config["batch_tokens"]
        )
    result = {
        "model": config["model"]["label"],
        "adapter": str(folder) if folder else None,
        "protocol": config["protocol"]["name"],
        "rows": {name: len(test) for name, test in rows.items()},
        "device": provenance.device(),
        "precision": str(base.dtype).removeprefix("torch."),
        "packages": provenance.packages(),
        "git": provenance.git_state(),
        "evaluation": measured,
    }
    table = evaluation_table(result)
    print(table)
    if config["output"]:
        output = Path(config["output"])
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(output.with_name(output.name + ".json"), result)
        write_text(output.with_name(output.name + ".md"), table)
    return result


def evaluation_table(result: dict[str, Any]) -> str:
    """The evaluation's rows as Markdown, with what they were measured on."""
    packages = ", ".join(f"{name} {result['packages'][name]}" for name in ("torch", "transformers"))
    where = f"{result['device']['name']}, {result['precision']}, {packages}"
    adapter = result["adapter"] or "no adapter"
    rows = ", ".join(f"{n} of {name}" for name, n in result["rows"].items())
    lines = [
        f"{result['model']} ({adapter}), protocol {result['protocol']}, {rows}; {where}.",
        "",
        "| evaluation | examples/s | ÷ authors' way | lowest–highest | same answers |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for row in result["evaluation"]:
        lines.append(
            f"| {row['name']} | {row['examples_per_s']:.2f} | {row['ratio']:.2f} | "
            f"{row['lowest']:.2f}–{row['highest']:.2f} | {100 * row['same_answers']:.0f} % |"
        )
    return "\n".join(lines) + "\n"
