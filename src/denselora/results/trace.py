"""From a table's cell back to the runs, and the predictions, that it was made from."""

from collections.abc import Sequence

from denselora.errors import UserError
from denselora.results.blocks import Row, build_blocks
from denselora.results.predictions import aligned_outcomes
from denselora.results.record import Benchmark, Record
from denselora.results.setting import in_words, setting_of
from denselora.results.statistics import mcnemar


def trace(records: Sequence[Record], words: str) -> list[str]:
    """Lines that say where a cell comes from, a paragraph per run.

    words: what the cell's runs have in common, in any order: model, data, protocol, method, r16,
    seed1, limit20, run id, and what a table says beside a method, learning_rate=0.001; a
    benchmark's heading picks the cell, without one all are shown.
    Raises `UserError` for a word that no record has, or when no record has all of them.
    """
    asked = [_plain(word) for word in words.split()]
    known = set().union(*map(_words, records))
    options = set().union(*map(_options, records))
    for word in asked:
        if word not in known | options:
            others = sorted(known - {_plain(record.run_id) for record in records})
            raise UserError(f"trace: no record has {word!r}; known are {', '.join(others)}")
    lines = []
    for block in build_blocks(records):
        picked = [key for key, column in block.columns.items() if _picks(asked, key, column)]
        for row in block.rows:
            for record in row.records:
                if (_words(record) | _options(record)).issuperset(asked):
                    lines += _paragraph(row, record, picked)
    if not lines:
        raise UserError(f"trace: no record has all of {', '.join(asked)}; leave one out")
    return lines


def _paragraph(row: Row, record: Record, picked: list[str]) -> list[str]:
    method = row.label + (f" r={row.method.r}" if row.method.r else "")
    seed = "" if record.seed is None else f", seed {record.seed}"
    lines = [
        str(record.file or record.run_id),
        f"  {record.model.label}, {record.data.label}, protocol {record.protocol.name}, "
        f"{method}{seed}: {record.status}, {record.created.date()}, commit "
        f"{(record.git.commit or 'unknown')[:9]}{' with changes' if record.git.dirty else ''}",
    ]
    lora = row.lora and next(run for run in row.lora.records if run.seed == record.seed)
    for key in picked or record.data.columns:
        part = record.benchmarks.get(key)
        if part:
            lines.append(f"  {record.data.columns[key]}: {_counts(record, part)}")
            if lora and key in lora.benchmarks:
                lines += _against(record, lora, key)
    if record.average and not picked:
        low, high = (100 * bound for bound in record.average.ci95)
        lines.append(f"  average: {100 * record.average.accuracy:.1f} % ({low:.1f} to {high:.1f})")
    return lines


def _counts(record: Record, part: Benchmark) -> str:
    low, high = (100 * bound for bound in part.ci95)
    file = record.beside(part.predictions) or f"{part.predictions} (not among the results)"
    return (
        f"{part.correct:,} of {part.n:,} right = {100 * part.accuracy:.1f} % "
        f"({low:.1f} to {high:.1f}), {part.unparsed:,} unparsed; {file}"
    )


def _against(record: Record, lora: Record, benchmark: str) -> list[str]:
    part, other = record.benchmarks[benchmark], lora.benchmarks[benchmark]
    files = [record.beside(part.predictions), lora.beside(other.predictions)]
    difference = 100 * (part.accuracy - other.accuracy)
    if None in files:
        return [f"    {difference:+.1f} to LoRA in {lora.file}; untested without predictions"]
    ours, theirs = aligned_outcomes(files, benchmark)
    return [
        f"    {difference:+.1f} to LoRA in {lora.file}: only this one right "
        f"{(ours & ~theirs).sum()}, only LoRA {(theirs & ~ours).sum()}, "
        f"McNemar p = {mcnemar(ours, theirs):.2g}"
    ]


def _words(record: Record) -> set[str]:
    """All that a record may be asked for by."""
    model, method, data = record.model, record.method, record.data
    names = [record.run_id, record.protocol.name, record.status, record.evaluation.scoring]
    names += ["average"] if record.average else []
    names += [record.evaluation.quantization] if record.evaluation.quantization else []
    for part in (model, method, data):
        names += [part.name, *part.label.split()]
    for key in record.benchmarks:
        names += [key, data.columns[key]]
    numbers = {"r": method.r, "seed": record.seed, "limit": record.evaluation.limit}
    names += [f"{name}{number}" for name, number in numbers.items() if number is not None]
    return {_plain(name) for name in names}


def _options(record: Record) -> set[str]:
    """What a run was set to, each as a table has it."""
    setting = setting_of(record)
    return {_plain(in_words(setting, [key])) for key in setting}


def _picks(asked: list[str], key: str, column: str) -> bool:
    return _plain(key) in asked or _plain(column) in asked


def _plain(word: str) -> str:
    """r=16 and r16, BoolQ and boolq are one word."""
    return word.replace("=", "").casefold()
