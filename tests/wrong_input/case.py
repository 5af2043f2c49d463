"""One mistake, and what the line that answers it must hold."""

import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SMALL = (
    "trainer.global_batch_size=4 trainer.micro_batch_size=2 trainer.max_steps=1 "
    "trainer.warmup_steps=0 trainer.validation_rows=0"
)
# what a script gets before a case's own options
BEFORE = {
    "train": f"model.path=<model> data=local data.path=<data> {SMALL} output_dir=output",
    "evaluate": "model.path=<model> data=local data.path=<data> output_dir=output",
    "reproduce": f"model.path=<model> data=local data.path=<data> {SMALL}",
    "ask": "model.path=<model>",
}

# (the folder that the script runs in, where <model>, <data> and <run> are)
Given = Callable[[Path, Mapping[str, Path]], None]


@dataclass(frozen=True)
class Case:
    words: str
    says: tuple[str, ...]
    given: Given | None
    stdin: bytes
    environment: Mapping[str, str]

    def command(self, places: Mapping[str, Path]) -> list[str]:
        """The script's name and all its options."""
        script, *own = shlex.split(self.words)
        options = _last_of_each([*BEFORE.get(script, "").split(), *own])
        for name, place in places.items():
            options = [option.replace(f"<{name}>", str(place)) for option in options]
        return [script, *options]


def case(
    words: str, *says: str, given: Given | None = None, stdin: bytes = b"", **environment: str
) -> Case:
    """says: what the error must hold, each of them. environment: variables of its own."""
    assert says, f"{words}: what should it say?"
    return Case(words, says, given, stdin, environment)


def files(content: Mapping[str, str | bytes]) -> Given:
    """These files, by their path in the folder."""

    def give(here: Path, places: Mapping[str, Path]) -> None:
        for name, text in content.items():
            file = here / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())

    return give


def copy_of(place: str, change: Callable[[Path], object]) -> Given:
    """The folder model, data or run, changed by a function of where the copy is."""

    def give(here: Path, places: Mapping[str, Path]) -> None:
        shutil.copytree(places[place], here / place)
        change(here / place)

    return give


def _last_of_each(options: list[str]) -> list[str]:
    """Without those that a later one of the same name replaces: Hydra wouldn't have both."""
    last = {option.partition("=")[0]: at for at, option in enumerate(options)}
    return [
        option
        for at, option in enumerate(options)
        if "=" not in option or last[option.partition("=")[0]] == at
    ]
