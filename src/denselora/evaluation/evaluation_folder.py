"""An evaluation's folder: what it was made with, its answers, how long they took, its record."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from denselora.errors import UserError
from denselora.evaluation.partial import Partial
from denselora.files import check_writable, write_json
from denselora.lock import is_empty, locked
from denselora.models import same_base
from denselora.readers import read_json
from denselora.results.predictions import read_predictions
from denselora.results.record import RECORD, Record, read_record

IDENTITY = "evaluation.json"
SECONDS = "seconds.json"
LATER = ("adapter_config", "tests", "precision")


def suffix(scoring: str, limit: int | None) -> str:
    """What an evaluation's name has behind its run's, as "-choice-limit100"; nothing behind that
    of a whole evaluation by generate."""
    parts = [scoring] if scoring != "generate" else []
    parts += [f"limit{limit}"] if limit else []
    return "".join(f"-{part}" for part in parts)


class EvaluationFolder:
    """Where everything of one evaluation lies, so that it can be stopped and continued.

    identity: what decides the predictions; a folder is never continued with something else. Its
    "tests" has a digest of each benchmark's rows and golds.
    """

    def __init__(self, path: Path, identity: dict[str, Any]):
        self.path, self.identity = path, identity

    @property
    def record_file(self) -> Path:
        return self.path / RECORD

    def record(self) -> Record | None:
        """The record of earlier calls, whose benchmarks needn't be this one's; None without any."""
        return read_record(self.record_file) if self.record_file.is_file() else None

    def tests(self) -> dict[str, str]:
        """The digests of all benchmarks' rows and golds that this or an earlier call has noted."""
        file = self.path / IDENTITY
        before = read_identity(file).get("tests", {}) if file.is_file() else {}
        return before | self.identity.get("tests", {})

    def partial(self, benchmark: str) -> Partial:
        """A benchmark's answers while they are being made."""
        return Partial(self.path, benchmark)

    def predictions(self, benchmark: str) -> list[dict[str, Any]] | None:
        """A benchmark's answers; None while it isn't finished."""
        file = self.partial(benchmark).whole
        return read_predictions(file, benchmark) if file.is_file() else None

    def check(self) -> None:
        """Raise UserError for a folder that can't be written or holds anything but this same
        evaluation."""
        check_writable(self.path, "output_dir")
        if is_empty(self.path):
            return
        file = self.path / IDENTITY
        if not file.is_file():
            raise UserError(
                f"output_dir={self.path}: not empty and not an evaluation; choose another"
            )
        before = read_identity(file)
        # folders of earlier versions don't say LATER
        compared = [key for key in self.identity if key in before or key not in LATER]
        changed = [
            key for key in compared if key != "tests" and before.get(key) != self.identity[key]
        ]
        rows = before.get("tests", {})
        changed += [
            f"the rows or golds of {name}"
            for name, digest in self.identity.get("tests", {}).items()
            if rows.get(name, digest) != digest
        ]
        if changed:
            raise UserError(
                f"output_dir={self.path}: holds another evaluation (differs in "
                f"{', '.join(changed)}); choose another folder"
            )

    def claim(self, at_end: ExitStack) -> None:
        """Keep other processes out until the end. Raises as `locked` and `check` do."""
        at_end.enter_context(locked(self.path, "output_dir"))
        self.check()  # again: another process may have been here

    def check_base(self, base: dict[str, Any]) -> None:
        """Raise UserError if another base made its predictions, though its path was the same.

        base: `models.fingerprint` of the base, which becomes part of the identity.
        """
        file = self.path / IDENTITY
        if file.is_file():
            before = read_identity(file).get("base")
            if not before or not same_base(before, base):
                raise UserError(
                    f"output_dir={self.path}: holds another evaluation (the weights at "
                    f"model.path={self.identity['model']} have changed since); choose another "
                    "folder"
                )
        self.identity["base"] = base

    def begin(self) -> None:
        """Note what it is made with: rows of benchmarks that an earlier call answered, too."""
        write_json(self.path / IDENTITY, self.identity | {"tests": self.tests()})

    def finish(self, benchmark: str, rows: int) -> None:
        """Merge the processes' answers to a benchmark's rows, and note how long they took.

        The time is no part of the predictions, which are always the same. Raises UserError if some
        rows have no answer, or the predictions at hand are for another number of rows.
        """
        partial = self.partial(benchmark)
        if partial.whole.is_file():
            if len(read_predictions(partial.whole, benchmark)) != rows:
                raise UserError(
                    f"{partial.whole}: made from other rows; choose another output_dir or delete it"
                )
        else:
            missing = rows - len(partial.done())
            if missing:
                raise UserError(f"{benchmark}: {missing} of {rows} rows have no prediction")
            seconds = self.seconds() | {benchmark: round(partial.merge(), 2)}
            write_json(self.path / SECONDS, seconds)
        partial.remove()

    def seconds(self) -> dict[str, float]:
        """Seconds of each benchmark that is finished."""
        file = self.path / SECONDS
        if not file.exists():
            return {}
        fix = "delete it, the times will be missing"
        seconds = read_json(file, fix)
        if not all(isinstance(each, int | float) for each in seconds.values()):
            raise UserError(f"{file}: not seconds by benchmark; {fix}")
        return seconds


def read_identity(file: Path) -> dict[str, Any]:
    """What an evaluation noted at its start. Raises UserError for a damaged file."""
    fix = "delete the folder or choose another output_dir"
    before = read_json(file, fix)
    for key in ("tests", "base", "protocol", "data"):
        if not isinstance(before.get(key, {}), dict):
            raise UserError(f"{file}: {key} isn't an object; {fix}")
    return before
