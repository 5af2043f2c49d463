"""The parts of the benchmark, one after the other, to JSON and Markdown tables."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from denselora import provenance
from denselora.files import check_writable, write_json, write_text
from denselora.speed import evaluation, loop, step
from denselora.speed.parts import chosen_parts

PARTS = {"step": step, "loop": loop, "evaluation": evaluation}


def run(cfg: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Measure the parts in `parts`, print their tables as they come, and write both forms where
    `output` says; returns the JSON's content. Raises UserError for a part that isn't there.
    """
    parts = chosen_parts(cfg.parts, PARTS)
    output = Path(cfg.output) if cfg.output else None
    if output:
        check_writable(output.parent, "output")
    result: dict[str, Any] = {
        "device": provenance.device(),
        "processor": _processor(),
        "packages": provenance.packages(),
        "git": provenance.git_state(),
    }
    tables = [_where(result)]
    print(tables[0])
    for name in parts:
        result[name] = PARTS[name].measure(cfg, overrides)
        tables.append(PARTS[name].table(result[name]))
        print(tables[-1])
        if output:  # after each part: a stop in a later one loses nothing
            write_json(output.with_name(output.name + ".json"), result)
            write_text(output.with_name(output.name + ".md"), "\n".join(tables))
    return result


def _where(result: dict[str, Any]) -> str:
    packages = ", ".join(f"{n} {result['packages'][n]}" for n in ("torch", "transformers", "peft"))
    commit = (result["git"]["commit"] or "unknown")[:9]
    changed = " with changes" if result["git"]["dirty"] else ""
    machine = f"{result['device']['name']}, {result['processor']}"
    return f"{machine}, {packages}, commit {commit}{changed}.\n"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
