"""One training run as its config describes it, checked before anything is loaded or written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import is_tensorboard_available, is_wandb_available
from omegaconf import DictConfig, OmegaConf

from denselora.errors import UserError
from denselora.identity import run_id
from denselora.protocol import Protocol
from denselora.results.artifact import check_wandb
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
        """cfg: as `options.Train` has it. Raises UserError for a tracker that isn't installed or
        has no key, or a run id that is no folder's name.
        """
        config = OmegaConf.to_container(cfg, resolve=True)
        tracker = config["tracker"]
        if tracker and not TRACKERS[tracker]():
            raise UserError(f"tracker={tracker}: not installed; `pip install {tracker}`")
        if tracker == "wandb":
            check_wandb()
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
