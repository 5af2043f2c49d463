"""Figures from an evaluation's predictions alone: no model, no GPU."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from denselora.command_line.configs import CONFIGS, composed
from denselora.data.audit import read_overlap
from denselora.data.rows import read_rows
from denselora.errors import UserError
from denselora.evaluation.evaluation_folder import IDENTITY, read_identity
from denselora.protocol import Protocol
from denselora.results.predictions import check_counted, count, prompt_hash, read_predictions
from denselora.results.record import RECORD, Record, read_record
from denselora.results.record import Benchmark as Result
from denselora.results.statistics import mcnemar
from denselora.tasks import Benchmark, benchmark


@dataclass(frozen=True)
class Agreement:
    """Two evaluations of the same rows.

    same: rows with the same answer read, none at all included. right: rows that each answers right.
    p: exact McNemar, two-sided.
    """

    n: int
    same: int
    right: tuple[int, int]
    p: float


def recount_folder(folder: str | Path) -> dict[str, Result]:
    """Each benchmark's figures, from its predictions judged anew.

    Raises UserError if the folder is no evaluation, lacks predictions, if a row is judged otherwise
    than it was, or if the rows are not those that the record was counted from.
    """
    record = _record(folder)
    protocol = _protocol(record)
    results = {}
    for name, kept in record.benchmarks.items():
        file = _predictions(record, name)
        predictions, changed = judged_anew(file, benchmark(name), protocol)
        if changed:
            raise UserError(
                f"{file}: {changed} of {len(predictions)} rows are judged otherwise now than when "
                "they were made; the file or the code has changed since"
            )
        check_counted(file, name, kept)
        results[name] = _counted(kept, count(predictions))
    return results


def recount_without_overlap(folder: str | Path, overlap: str | Path) -> dict[str, Result]:
    """Each benchmark's figures over the test rows that the training file doesn't hold.

    overlap: the list that `make data-audit` wrote for the evaluation's data.
    Raises UserError as `recount_folder` does, or if the list was made for other files.
    """
    record = _record(folder)
    protocol, data = _protocol(record), _data(record)
    files = {name: benchmark(name).test_file(Path(data["path"])) for name in record.benchmarks}
    if (trained := (record.config or {}).get("data")) and any(
        trained.get(key) != data[key] for key in ("path", "train_file")
    ):
        raise UserError(
            f"{folder}: was trained on {trained.get('train_file')} of {trained.get('path')}, and "
            f"evaluated on {data['path']}; an overlap is of one folder's files"
        )
    listed = read_overlap(Path(overlap), Path(data["path"]), data["train_file"], files.values())
    results = {}
    for name, kept in record.benchmarks.items():
        rows = read_rows(files[name], scored=True)
        if beyond := [number for number in listed[name] if number >= len(rows)]:
            raise UserError(
                f"{overlap}: names row {beyond[0]} of {name}, whose {len(rows)} rows are numbered "
                "from 0; make it anew with `make data-audit`"
            )
        rows = rows.select(listed[name])
        known = {prompt_hash(protocol.evaluation_prompt(row)) for row in rows}
        predictions = read_predictions(_predictions(record, name), name)
        unseen = [row for row in predictions if row["prompt_hash"] not in known]
        if kept.n == kept.full_n and known - {row["prompt_hash"] for row in predictions}:
            raise UserError(
                f"{folder}: the predictions of {name} are of other rows than {files[name]} has; "
                f"{overlap} was made for those, give the overlap of the data that was evaluated"
            )
        if not unseen:
            raise UserError(
                f"{folder}: the training file holds all {len(predictions)} evaluated rows of "
                f"{name}; evaluate more"
            )
        results[name] = _counted(kept, count(unseen))
    return results


def compare(one: str | Path, other: str | Path) -> dict[str, Agreement]:
    """How far two evaluations agree on the benchmarks that both have.

    Raises UserError if they don't hold the same prompts.
    """
    records = [_record(one), _record(other)]
    names = [name for name in records[0].benchmarks if name in records[1].benchmarks]
    if not names:
        raise UserError(f"{one} and {other} have no benchmark in common")
    return {
        name: _agreement(name, *(_predictions(record, name) for record in records))
        for name in names
    }


def judged_anew(
    file: Path, task: Benchmark, protocol: Protocol
) -> tuple[list[dict[str, Any]], int]:
    """A benchmark's predictions, read and compared with gold as it is done now.

    Where options were ranked there is no text to read: the word chosen is compared.

    Returns the rows, and how many are judged otherwise than when they were made.
    """
    rows, changed, whole_word = [], 0, protocol.whole_word_answers
    for row in read_predictions(file, task.name):
        now = dict(row)
        if "log_likelihood_nats" not in row:
            now["parsed"] = task.read(row["raw"], whole_word)
            now["named"] = sorted(task.named(row["raw"], whole_word))
        now["correct"] = task.is_right(now["parsed"], row["gold"])
        changed += (now["parsed"], now["correct"]) != (row["parsed"], row["correct"])
        rows.append(now)
    return rows, changed


def _counted(kept: Result, figures: dict[str, int]) -> Result:
    """A benchmark's result with other figures."""
    return Result.counted(
        full_n=kept.full_n,
        chance=kept.chance,
        predictions=kept.predictions,
        seconds=kept.seconds,
        rows_hash=kept.rows_hash,
        **figures,
    )


def _agreement(name: str, one: Path, other: Path) -> Agreement:
    rows = [read_predictions(one, name), read_predictions(other, name)]
    asked = [[(row["id"], row["prompt_hash"], row["gold"]) for row in each] for each in rows]
    if asked[0] != asked[1]:
        raise UserError(
            f"{one} and {other} hold different prompts or golds; evaluate both on the same rows"
        )
    right = [np.array([row["correct"] for row in each], bool) for each in rows]
    return Agreement(
        n=len(rows[0]),
        same=sum(a["parsed"] == b["parsed"] for a, b in zip(*rows, strict=True)),
        right=(int(right[0].sum()), int(right[1].sum())),
        p=mcnemar(*right),
    )


def _record(folder: str | Path) -> Record:
    file = Path(folder) / RECORD
    if not file.is_file():
        raise UserError(
            f"folders: {folder} has no {RECORD}; give output folders of evaluate.py, or "
            "published runs"
        )
    return read_record(file)


def _predictions(record: Record, name: str) -> Path:
    file = record.beside(record.benchmarks[name].predictions)
    if file is None:
        raise UserError(f"{record.file}: the predictions of {name} are missing; evaluate again")
    return file


def _protocol(record: Record) -> Protocol:
    """The protocol that the predictions were made under, whole.

    A published run has no more than its name and hash; its training's or the config of that name
    is taken if it is the same one.
    """
    if (identity := _identity(record)) and "protocol" in identity:
        return Protocol.from_config(identity["protocol"])
    name = record.protocol.name
    known = [record.config["protocol"]] if record.config else []
    if (CONFIGS / "protocol" / f"{name}.yaml").is_file():
        known.append(OmegaConf.to_container(composed("train", [f"protocol={name}"]).protocol))
    for protocol in map(Protocol.from_config, known):
        if protocol.hash == record.protocol.hash:
            return protocol
    raise UserError(
        f"{record.file}: its protocol {name}, hash {record.protocol.hash}, is no longer in "
        "configs/protocol; recount the evaluation's own folder"
    )


def _data(record: Record) -> dict[str, Any]:
    """The data config that the rows were read by."""
    config = _identity(record) or record.config
    if not config:
        raise UserError(
            f"{record.file.parent}: {IDENTITY} is missing; recount the evaluation's own folder"
        )
    return config["data"]


def _identity(record: Record) -> dict[str, Any] | None:
    """What the evaluation was made of, as it noted at its start; None for a published run."""
    file = record.beside(IDENTITY)
    return read_identity(file) if file else None
