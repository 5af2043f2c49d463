"""Putting a run among the results: its record, predictions and metrics in one small folder."""

import dataclasses
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from denselora.errors import UserError
from denselora.files import flush, writing
from denselora.lock import locked
from denselora.results.metrics import METRICS, read_metrics, write_losses
from denselora.results.predictions import PREDICTIONS, read_predictions, write_predictions
from denselora.results.record import RECORD, Data, Model, Record, read_record, write_record


def publish_record(record: Record, folder: str | Path) -> Path:
    """Put a record and the files it names into `folder`/<run id>/; returns the new record's path.

    The folder holds record.json, predictions.parquet with all benchmarks, metrics.parquet with
    the losses and change.npz, as far as there are such files. One that exists is replaced whole or
    not at all, by one process at a time. record.file says where its files lie; it needn't be
    written yet. Raises `UserError` for a file that can't be read or written.
    """
    target = Path(folder) / record.run_id
    check_place(target, record.file.parent)
    # read_records passes over names with a dot; one left by a kill is begun anew
    made, old = (target.with_name(f".{target.name}.{what}") for what in ("new", "old"))
    with writing(target), locked(Path(folder), "record_dir", wait=True):
        if old.exists() and not target.exists():  # killed between the two renames below
            old.rename(target)
        for leftover in (made, old):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            made.mkdir()
            write_record(_with_files(record, made), made / RECORD)
            for file in made.iterdir():
                flush(file)
            flush(made)
            if target.exists():
                target.rename(old)
            made.rename(target)
            flush(target.parent)
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            for leftover in (made, old):
                shutil.rmtree(leftover, ignore_errors=True)
    return target / RECORD


def check_kind(
    target: Path,
    *,
    model: Model,
    protocol: str,
    data: Data,
    adapter: str | None,
    benchmarks: Collection[str],
    tests: Mapping[str, str],
) -> None:
    """Raise UserError for a published run of the same name that says something else, or more.

    target: the folder to publish to. protocol: the hash of the evaluation's. adapter: digest of
    the weights, where the name doesn't tell them apart. benchmarks: those of the new record.
    tests: digests of its test rows.
    """
    if not (target / RECORD).is_file():
        return
    there = read_record(target / RECORD)
    made_of = there.evaluation.made_of or {}
    weights = made_of.get("adapter") if adapter else None
    for what, was, now in (
        ("model.path", there.model.path, model.path),
        ("protocol", there.protocol.hash, protocol),
        ("data", f"{there.data.name} ({there.data.label})", f"{data.name} ({data.label})"),
        ("adapter weights", weights, weights and adapter[: len(weights)]),
    ):
        if was != now and not (what == "model.path" and Path(was).resolve() == Path(now).resolve()):
            raise UserError(
                f"record_dir={target.parent}: {target.name} is there, with {what} {was}, here "
                f"{now}; give another record_dir, or what differs another name"
            )
    for name, was in made_of.get("tests", {}).items():
        if name in tests and not tests[name].startswith(was):
            raise UserError(
                f"record_dir={target.parent}: {target.name} is there, with other test rows of "
                f"{name}; give another record_dir, or the data another name"
            )
    if lost := [name for name in there.benchmarks if name not in benchmarks]:
        raise UserError(
            f"record_dir={target.parent}: {target.name} is there, with {', '.join(lost)} too; name "
            "those in tasks, give the output_dir that has them, or another record_dir"
        )


def check_place(target: Path, source: Path) -> None:
    """Raise UserError for a folder that a record can't replace: one that holds what it is made
    from, or anything but a published run.

    target: the folder to publish to. source: the evaluation's.
    """
    inside = target.resolve() in (source.resolve(), *source.resolve().parents)
    if inside or (target.is_dir() and any(target.iterdir()) and not (target / RECORD).is_file()):
        raise UserError(
            f"record_dir={target.parent}: {target} is there and is no published run; give another "
            "folder, such as results/runs"
        )


def _with_files(record: Record, folder: Path) -> Record:
    """The record with its files written to the folder; what isn't there is named no more."""
    predictions = {
        key: read_predictions(file, key)
        for key, part in record.benchmarks.items()
        if (file := _source(record, part.predictions))
    }
    if predictions:
        write_predictions(folder / PREDICTIONS, predictions)
    benchmarks = {
        key: dataclasses.replace(part, predictions=PREDICTIONS if key in predictions else None)
        for key, part in record.benchmarks.items()
    }
    training = record.training
    if training:
        metrics = _source(record, training.metrics_file)
        if metrics:
            write_losses(folder / METRICS, read_metrics(metrics))
        change = _source(record, training.change_file)
        if change:
            shutil.copyfile(change, folder / change.name)
        training = dataclasses.replace(
            training,
            metrics_file=METRICS if metrics else None,
            change_file=change.name if change else None,
        )
    return dataclasses.replace(record, benchmarks=benchmarks, training=training)


def _source(record: Record, name: str | None) -> Path | None:
    """A file that the record names, if it is there; the training's lie above the evaluation's."""
    file = record.file.parent / name if name else None
    return file if file and file.is_file() else None
