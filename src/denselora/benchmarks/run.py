"""All benchmarks of one model, to JSON and a Markdown table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from denselora import provenance
from denselora.benchmarks.evaluation import evaluation_rows
from denselora.evaluation.load import load_scoring
from denselora.evaluation.suite import read_benchmarks
from denselora.folders import check_writable, write_json, write_text


def run(cfg: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Measure, print the table, and write both forms where `output` says; returns the JSON's
    content.
    """
    if cfg.output:
        check_writable(Path(cfg.output).parent, "output")
    with load_scoring(cfg, overrides) as (config, scoring):
        _, rows = read_benchmarks(config)
        measured = evaluation_rows(scoring, rows, config["batch_tokens"])
        precision = str(scoring.model.dtype).removeprefix("torch.")
    result = {
        "model": config["model"]["label"],
        "adapter": config["adapter_path"],
        "protocol": config["protocol"]["name"],
        "rows": {name: len(test) for name, test in rows.items()},
        "device": provenance.device(),
        "precision": precision,
        "packages": provenance.packages(),
        "git": provenance.git_state(),
        "evaluation": measured,
    }
    table = evaluation_table(result)
    print(table)
    if cfg.output:
        output = Path(cfg.output)
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
