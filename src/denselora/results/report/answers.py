"""The predictions of many runs in little space: what several have in common is there once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from denselora.errors import UserError
from denselora.results.predictions import read_predictions
from denselora.results.record import Record

# printable, and nothing that JSON or HTML would escape
DIGITS = "".join(chr(code) for code in range(33, 127) if chr(code) not in "\"\\<>&'")
# an answer's number is one of the first digits, or one of the others and three digits after it
SHORT = 72
LONGEST = SHORT + (len(DIGITS) - SHORT) * len(DIGITS) ** 3

# raw text, the answer read from it, whether that is right
Answer = tuple[str, str | None, bool]


def encode_answers(
    records: Sequence[Record],
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], dict[str, Any]]]:
    """All predictions that lie beside the records.

    Returns the test sets, and for each (run id, benchmark) the number of its set and its answers
    in `DIGITS`. A set has the prompt hash and gold of each row, by id, and all different answers to
    it as columns, the most frequent first. Runs with the same set were asked the same.
    """
    sets: dict[tuple, dict[tuple[str, str], list[Answer]]] = {}
    for record in records:
        for benchmark, part in record.benchmarks.items():
            file = record.beside(part.predictions)
            if file:
                rows = sorted(read_predictions(file, benchmark), key=lambda row: row["id"])
                asked = (benchmark, tuple((row["prompt_hash"], row["gold"]) for row in rows))
                answers = [(row["raw"], row["parsed"], row["correct"]) for row in rows]
                sets.setdefault(asked, {})[record.run_id, benchmark] = answers
    tables, encoded = [], {}
    for number, ((benchmark, rows), runs) in enumerate(sets.items()):
        different = _most_frequent_first(runs)
        tables.append(
            {
                "benchmark": benchmark,
                "prompts": " ".join(prompt for prompt, _ in rows),
                "golds": [gold for _, gold in rows],
                "raw": [raw for raw, _, _ in different],
                "parsed": [parsed for _, parsed, _ in different],
                "correct": "".join("01"[correct] for _, _, correct in different),
            }
        )
        codes = {answer: code(place) for place, answer in enumerate(different)}
        for run, answers in runs.items():
            encoded[run] = {"set": number, "answers": "".join(codes[a] for a in answers)}
    return tables, encoded


def code(number: int) -> str:
    """A number below `LONGEST` in one digit or four. Raises UserError for a larger one."""
    if number < SHORT:
        return DIGITS[number]
    if number >= LONGEST:
        raise UserError(f"report: more than {LONGEST:,} different answers to one benchmark")
    rest, digits = number - SHORT, ""
    for _ in range(3):
        rest, digit = divmod(rest, len(DIGITS))
        digits = DIGITS[digit] + digits
    return DIGITS[SHORT + rest] + digits


def _most_frequent_first(runs: Mapping[Any, Sequence[Answer]]) -> list[Answer]:
    counts = Counter(answer for answers in runs.values() for answer in answers)
    return sorted(counts, key=lambda a: (-counts[a], a[0], a[1] or "", a[2]))
