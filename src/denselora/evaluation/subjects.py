"""What is evaluated: adapter folders or the plain base, and with which base, data and protocol."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from denselora.command_line.overrides import option_name
from denselora.errors import UserError
from denselora.evaluation.adapter_folder import (
    adapted,
    config_hash,
    read_adapter,
    training_config,
)
from denselora.evaluation.base import Base
from denselora.evaluation.evaluation_folder import EvaluationFolder, suffix
from denselora.identity import LONGEST, check_length, check_name, run_id
from denselora.training.run_folder import TRAINING, Trained
from denselora.weight_files import weights_hash

# what an evaluation takes from the training unless it is named
FOLLOWED = ("model", "data", "protocol", "quantization")


@dataclass(frozen=True)
class Subject:
    """One model to evaluate: an adapter folder or, without one, the plain base.

    run: the run id of its record.
    """

    adapter: Path | None
    trained: Trained | None
    run: str
    folder: EvaluationFolder

    @contextmanager
    def on(self, base: Base) -> Iterator[nn.Module]:
        """The model to ask; the plain base again after. Raises as `adapted` does."""
        if self.adapter is None:
            yield base.model
            return
        with adapted(base, self.adapter, self.trained) as model:
            yield model


def choose_subjects(
    cfg: DictConfig, overrides: Sequence[str]
) -> tuple[dict[str, Any], list[Subject]]:
    """The resolved config of an evaluation, and what it evaluates.

    overrides: the command line's, see `follow`. Raises UserError for a mistake in options, or a
    folder of another evaluation.
    """
    adapters = _adapter_folders(cfg)
    trainings = [read_adapter(folder) if folder else None for folder in adapters]
    config = follow(cfg, adapters, trainings, overrides)
    subjects = [
        _subject(config, adapter, trained, several=len(adapters) > 1)
        for adapter, trained in zip(adapters, trainings, strict=True)
    ]
    names = [subject.run for subject in subjects]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"adapter_path: two of the adapters are named {name}; rename a folder")
    return config, subjects


def follow(
    cfg: DictConfig,
    adapters: Sequence[Path | None],
    trainings: Sequence[Trained | None],
    overrides: Sequence[str],
) -> dict[str, Any]:
    """The resolved config, with model, data, protocol and quantization of the training where the
    command line is silent. What a training left is taken as it stands, never interpolated.

    Raises UserError when the adapters' trainings differ in what isn't named, or when an adapter's
    training isn't known and model, data or protocol isn't named, or when a name that becomes part
    of a path leads elsewhere.
    """
    cfg, followed, given = cfg.copy(), {}, list(map(option_name, overrides))
    found = {
        folder: training_config(folder, trained)
        for folder, trained in zip(adapters, trainings, strict=True)
        if folder
    }
    for folder, config in found.items():
        if config is None:
            _require_names(cfg, folder, given)
    configs = {folder: config for folder, config in found.items() if config}
    for group in filter(cfg.__contains__, FOLLOWED):
        if group in given:
            continue
        inside = OmegaConf.create({group: {}})
        for name in given:
            if name.startswith(f"{group}."):
                OmegaConf.update(inside, name, OmegaConf.select(cfg, name))
        named = inside[group]
        if configs:
            (one, config), *others = configs.items()
            for other, another in others:
                if another.get(group) != config.get(group):
                    raise UserError(
                        f"adapter_path: {one} and {other} were trained with another {group}; name "
                        f"one by {group}=, or evaluate them apart"
                    )
            followed[group], cfg[group] = config.get(group), named or None
    resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    for group, of_training in followed.items():
        named = resolved[group]
        resolved[group] = of_training if named is None else _with(of_training, named)
    for group in filter(resolved.__contains__, ("model", "data", "protocol")):
        check_name(f"{group}.name", resolved[group]["name"])
    return resolved


def _with(config: Any, named: Any) -> Any:
    """A part of a training's config with what the command line names inside it."""
    if not isinstance(named, dict) or not isinstance(config, dict):
        return named
    return config | {key: _with(config.get(key), value) for key, value in named.items()}


def _require_names(cfg: DictConfig, folder: Path, given: Sequence[str]) -> None:
    """Raise UserError unless model, data and protocol are named: their defaults are a guess."""
    named = {"model": {"model", "model.path"}, "data": {"data"}, "protocol": {"protocol"}}
    missing = [group for group, by in named.items() if group in cfg and by.isdisjoint(given)]
    if missing:
        raise UserError(
            f"adapter_path={folder}: has no {TRAINING}, which says what it was trained on; name "
            + " and ".join(f"{group}=" for group in missing)
        )


def _adapter_folders(cfg: DictConfig) -> list[Path | None]:
    """The folders of `adapter_path`, one or a list; [None] is the plain base."""
    if cfg.adapter.name != "none":
        raise UserError(
            f"adapter={cfg.adapter.name}: evaluation takes trained adapters by adapter_path=; "
            "adapter=none is the plain base"
        )
    if not cfg.adapter_path:
        return [None]
    paths = [cfg.adapter_path] if isinstance(cfg.adapter_path, str) else cfg.adapter_path
    return [Path(path) for path in paths]


def _subject(
    config: dict[str, Any], adapter: Path | None, trained: Trained | None, several: bool
) -> Subject:
    run = trained.run_id if trained else _name(config, adapter)
    quantization = config["quantization"]
    training = training_config(adapter, trained) if adapter else None
    if quantization != (training or {}).get("quantization"):
        run += f"-{quantization or 'unquantised'}"
    run += suffix(config["scoring"], config["limit"])
    check_length(run, LONGEST + 40)
    folder = Path(config["output_dir"] or Path("evaluations") / run)
    if config["output_dir"] and several:
        folder /= run
    identity = {
        "adapter": weights_hash(adapter) if adapter else None,
        "adapter_config": config_hash(adapter) if adapter else None,
        "model": config["model"]["path"],
        "quantization": quantization,
        "protocol": config["protocol"],
        "scoring": config["scoring"],
        "data": config["data"],
        "limit": config["limit"],
    }
    return Subject(adapter, trained, run, EvaluationFolder(folder, identity))


def _name(config: dict[str, Any], adapter: Path | None) -> str:
    """The run id of something that no run of this project ended with."""
    training = training_config(adapter, None) if adapter else None
    if training:
        return f"{run_id(training)}-{adapter.resolve().name}"
    what = adapter.resolve().name if adapter else "base"
    return "-".join(
        [config["model"]["name"], what, config["data"]["name"], config["protocol"]["name"]]
    )
