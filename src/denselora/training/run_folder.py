"""A run's folder: config.yaml, metrics.jsonl, checkpoints/ and, at the end, adapter/.

A run that has ended leaves training.json in adapter/ or, if it diverged, in the folder itself.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic import dataclasses as checked
from yaml import YAMLError

from denselora.errors import UserError, first_fault
from denselora.files import check_writable, flush, read_lines, write_json, write_text, writing
from denselora.identity import check_name, differences
from denselora.lock import is_empty
from denselora.readers import read_text
from denselora.results.record import Device, Git, Method, Protocol, Training

TRAINING = "training.json"
RESUME = "run again with resume=true"


@checked.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Trained:
    """A run that has ended. Its record takes all of it but `base`."""

    run_id: str
    config: dict[str, Any]
    """Resolved."""
    base: dict[str, Any]
    """By which its base is known again: `models.fingerprint`."""
    method: Method
    protocol: Protocol
    git: Git
    packages: dict[str, str]
    device: Device
    training: Training
    """Names no files: they lie where `RunFolder` says."""


_trained = TypeAdapter(Trained)


def read_trained(folder: Path) -> Trained | None:
    """What `write_trained` left in a folder; None if there is nothing of it.

    Raises UserError, naming the file and the key, for a file that is damaged or of another version,
    or whose run id would lead to another folder.
    """
    file = folder / TRAINING
    if not file.exists():
        return None
    fix = "use the version that trained, or train again in another output_dir"
    try:
        trained = _trained.validate_json(read_text(file, fix), strict=True)
    except ValidationError as error:
        raise UserError(
            f"{file}: not as this version writes it ({first_fault(error)}); {fix}"
        ) from None
    check_name(f"{file}: run_id", trained.run_id)
    return trained


def write_trained(folder: Path, trained: Trained, then: str = "run again") -> None:
    """Write training.json, whole or not at all. then: see `files.writing`."""
    write_json(folder / TRAINING, _trained.dump_python(trained, mode="json"), then)


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run lies."""

    path: Path

    @property
    def adapter(self) -> Path:
        """The result; it appears when the run has ended well."""
        return self.path / "adapter"

    @property
    def checkpoints(self) -> Path:
        """What resume=true continues from."""
        return self.path / "checkpoints"

    @property
    def metrics_file(self) -> Path:
        """One JSON line per optimizer step."""
        return self.path / "metrics.jsonl"

    @property
    def change_file(self) -> Path:
        """How far training moved each matrix, see results.change."""
        return self.path / "change.npz"

    @property
    def finished(self) -> bool:
        """Whether the run has made its adapter."""
        return (self.adapter / TRAINING).is_file()

    @property
    def diverged(self) -> bool:
        """Whether the run has ended without an adapter."""
        return (self.path / TRAINING).is_file()

    def trained(self) -> Trained | None:
        """What the run left; None if it has not ended. Raises as `read_trained` does."""
        return read_trained(self.adapter if self.finished else self.path)

    def config(self) -> dict[str, Any] | None:
        """The resolved config that the run was started under; None if there is none.

        Raises UserError for a file that is damaged.
        """
        file = self.path / "config.yaml"
        if not file.exists():
            return None
        fix = "restore it, or train again in another output_dir"
        try:
            content = OmegaConf.to_container(OmegaConf.create(read_text(file, fix)))
        except (YAMLError, OmegaConfBaseException) as error:
            raise UserError(
                f"{file}: malformed YAML ({' '.join(str(error).split())}); {fix}"
            ) from None
        # of a text alone OmegaConf makes an option without a value
        if not isinstance(content, dict) or list(content.values()) == [None]:
            raise UserError(f"{file}: not a run's options; {fix}")
        return content

    def check(self, config: dict[str, Any]) -> None:
        """Raise UserError for a folder that can't be written, holds a run already and isn't to be
        continued, or holds a run under another config."""
        check_writable(self.path, "output_dir")
        if is_empty(self.path):
            return
        before = self.config()
        if before is None:
            raise UserError(
                f"output_dir={self.path}: not empty and not a run; choose another folder"
            )
        if not config["resume"]:
            raise UserError(
                f"output_dir={self.path}: holds a run already; continue it with resume=true or "
                "choose another folder"
            )
        changed = differences(before, config)
        if changed:
            raise UserError(
                f"output_dir={self.path}: was started under another config (differs in "
                f"{', '.join(changed)}); choose another folder or the same options"
            )

    def begin(self, config: dict[str, Any], metrics: str) -> None:
        """Put the resolved config in place, and the metrics up to where the run goes on."""
        write_text(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
        write_text(self.metrics_file, metrics)
        (self.path / TRAINING).unlink(missing_ok=True)  # of an attempt that diverged

    def log(self, metrics: dict[str, Any]) -> None:
        """Append one step's line."""
        with (
            writing(self.metrics_file, then=RESUME),
            self.metrics_file.open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(metrics, allow_nan=False) + "\n")

    def metrics_text(self) -> str:
        """All of metrics.jsonl."""
        return self.metrics_file.read_text(encoding="utf-8")

    def metrics(self) -> list[dict[str, Any]]:
        """All lines so far."""
        return [json.loads(line) for line in read_lines(self.metrics_file)]

    def finish(self, write_files: Callable[[Path], None], result: Trained) -> None:
        """Make the adapter folder, whole or not at all. write_files: all but training.json."""
        partial = self.path / "adapter.partial"
        try:
            with writing(self.adapter, then=RESUME):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                write_files(partial)
                write_trained(partial, result, then=RESUME)
                for file in partial.iterdir():
                    flush(file)
                os.replace(partial, self.adapter)
                flush(self.path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def fail(self, result: Trained) -> None:
        """Leave what is known of a run that ended without an adapter."""
        write_trained(self.path, result)
