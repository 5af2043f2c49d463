"""A list of experiments, each trained, evaluated and put into the tables."""

import subprocess
import sys
from pathlib import Path

from hydra import compose
from omegaconf import DictConfig, OmegaConf

import denselora.methods  # noqa: F401  (registers the resolver that the configs use)
from denselora.errors import UserError
from denselora.models import check_access
from denselora.results.record import read_records
from denselora.results.tables import print_table
from denselora.run_id import run_id

SCRIPTS = Path(__file__).parents[2] / "scripts"


def reproduce(cfg: DictConfig) -> None:
    """Run every experiment with every seed; each step is a script of its own.

    Access to the models is checked before anything is fetched or trained. A finished step is
    skipped and a stopped one is continued, so the same command goes on after any stop.

    Raises UserError for an unknown experiment, a model out of reach, or a step that failed.
    """
    if OmegaConf.is_missing(cfg, "experiments"):
        raise UserError("experiments is not set; name files below configs/experiment")
    plan = [
        [f"experiment={experiment}", f"seed={seed}", *cfg.overrides]
        for experiment in cfg.experiments
        for seed in cfg.seeds
    ]
    configs = [compose("train", options) for options in plan]
    for path in dict.fromkeys(config.model.path for config in configs):
        check_access(path)
    if cfg.fetch:
        _run("prepare_data.py", cfg.fetch)
    for options, config in zip(plan, configs, strict=True):
        _one(options, config, Path(cfg.runs_dir), Path(cfg.results_dir) / "runs")
    print_table(read_records(cfg.results_dir))
    _run("tables.py", f"results_dir={cfg.results_dir}")


def _one(options: list[str], config: DictConfig, runs: Path, records: Path) -> None:
    """Train and evaluate one run, or evaluate the plain base where there is nothing to train."""
    folder = runs / run_id(OmegaConf.to_container(config, resolve=True))
    print(f"\n== {' '.join(options)}: {folder}", flush=True)
    if config.adapter.name == "none":
        groups = ("model", "data", "protocol")
        subject = [f"{group}={config[group].name}" for group in groups]
        subject += [option for option in options if option.partition(".")[0] in groups]
    else:
        subject = [f"adapter_path={folder / 'adapter'}"]
        if not (folder / "adapter").is_dir():
            resume = "true" if folder.is_dir() else "false"
            _run("train.py", *options, f"output_dir={folder}", f"resume={resume}")
    if not (folder / "evaluation" / "record.json").is_file():
        _run(
            "evaluate.py",
            *subject,
            f"output_dir={folder / 'evaluation'}",
            f"record_dir={records}",
        )


def _run(script: str, *arguments: str) -> None:
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    if subprocess.run(command).returncode:
        raise UserError(
            f"stopped at `python scripts/{script} {' '.join(arguments)}`, see above; mend it and "
            "run the same command again to go on from there"
        )
