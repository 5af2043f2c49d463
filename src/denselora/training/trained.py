"""training.json: what a run leaves with its adapter or, where it diverged, alone in its folder."""

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from denselora.errors import UserError
from denselora.files import write_json
from denselora.results.record import Device, Git, Method, Protocol, Training, first_fault

TRAINING = "training.json"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Trained:
    """A run that has ended. Its record takes all of it but `base`."""

    run_id: str
    config: dict[str, Any]
    """Resolved."""
    base: dict[str, Any]
    """What tells the base from others: `models.fingerprint`."""
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

    Raises UserError, naming the file and the key, for a file that is damaged or of another version.
    """
    file = folder / TRAINING
    try:
        return _trained.validate_json(file.read_bytes(), strict=True)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UserError(
            f"{file}: not as this version writes it ({first_fault(error)}); use the version that "
            "trained, or train again in another output_dir"
        ) from None


def write_trained(folder: Path, trained: Trained, then: str = "run again") -> None:
    """Write training.json, whole or not at all. then: see `files.writing`."""
    write_json(folder / TRAINING, _trained.dump_python(trained, mode="json"), then)
