"""One training run as its config describes it, checked before anything is loaded or written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import is_tensorboard_available, is_wandb_available
from omegaconf import DictConfig, OmegaConf

from denselora.errors import UserError
from denselora.identity import run_id
from denselora.models import check_quantization
from denselora.protocol import Protocol
from denselora.results.record import data_part, model_part
from denselora.training.settings import Settings

TRACKERS = {"wandb": is_wandb_available, "tensorboard": is_tensorboard_available}


@dataclass(frozen=True)
class Job:
    """config: resolved, plain values. adapter: its group as Hydra composed it."""

    config: dict[str, Any]
    adapter: DictConfig
    settings: Settings
    protocol: Protocol
    run_id: str
    folder: Path
    train_file: Path

    @classmethod
    def from_config(cls, cfg: DictConfig) -> "Job":
        """Raises UserError for a value that is missing, unknown or impossible."""
        missing = OmegaConf.missing_keys(cfg)
        if missing:
            name = sorted(missing)[0]
            raise UserError(f"{name} is not set; add {name}=VALUE")
        config = OmegaConf.to_container(cfg, resolve=True)
        quantization, tracker = config["quantization"], config["tracker"]
        check_quantization(quantization)
        if quantization and config["adapter"]["name"] == "full":
            raise UserError(
                f"quantization={quantization} freezes the base, which adapter=full trains; choose "
                "another adapter or quantization=null"
            )
        if tracker is not None and tracker not in TRACKERS:
            raise UserError(f"tracker={tracker}: use one of {', '.join(TRACKERS)}, or null")
        if tracker and not TRACKERS[tracker]():
            raise UserError(f"tracker={tracker}: not installed; `pip install {tracker}`")
        model_part(config), data_part(config)  # the evaluation's record has to take them
        identity = run_id(config)
        return cls(
            config=config,
            adapter=cfg.adapter,
            settings=Settings.from_config(config["trainer"]),
            protocol=Protocol.from_config(config["protocol"]),
            run_id=identity,
            folder=Path(config["output_dir"] or Path("runs") / identity),
            train_file=Path(config["data"]["path"]) / config["data"]["train_file"],
        )
