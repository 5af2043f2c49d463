"""Each record as the page shows it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from denselora.identity import dotted
from denselora.results.record import Record
from denselora.results.report.losses import thinned_losses

# what the page shows in places of its own, or not at all
ELSEWHERE = ("run_id", "benchmarks", "average", "file", "schema")


def shown_runs(
    records: Sequence[Record], answers: Mapping[tuple[str, str], dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Runs in the records' order, and the different pairs of key and value that they are made of.

    answers: of `encode_answers`. A run's `details` are numbers of such pairs: most runs have most
    of their config in common.
    """
    pairs: dict[tuple[str, str], int] = {}
    runs = []
    for record in records:
        details = [pairs.setdefault(pair, len(pairs)) for pair in _details(record)]
        runs.append(
            {
                "id": record.run_id,
                "model": record.model.label,
                "data": record.data.label,
                "protocol": record.protocol.name,
                "scoring": record.evaluation.scoring,
                "method": record.method.label,
                "r": record.method.r,
                "trainable": record.method.trainable,
                "percent": record.method.trainable_percent,
                "trainRows": record.data.train_rows,
                "seed": record.seed,
                "status": record.status,
                "collapsed": record.training.collapsed if record.training else None,
                "created": record.created.isoformat(),
                "training": asdict(record.training) if record.training else None,
                "average": asdict(record.average) if record.average else None,
                "benchmarks": {
                    name: asdict(part) | answers.get((record.run_id, name), {})
                    for name, part in record.benchmarks.items()
                },
                "details": details,
                "losses": thinned_losses(record),
            }
        )
    return runs, [list(pair) for pair in pairs]


def _details(record: Record) -> Iterator[tuple[str, str]]:
    """All else of a record as pairs of dotted key and value."""
    values = {key: value for key, value in asdict(record).items() if key not in ELSEWHERE}
    for key, value in dotted(values).items():
        yield key, value if isinstance(value, str) else json.dumps(value, default=str)
