"""One benchmark: prompts in, predictions on disk, counts out."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from denselora.errors import UserError
from denselora.protocol import Protocol
from denselora.tasks import Benchmark

Decoder = Callable[[Sequence[str]], list[str]]


def score(
    benchmark: Benchmark,
    rows: Dataset,
    protocol: Protocol,
    decode: Decoder,
    folder: Path,
    batch_size: int,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Decode and judge every row; `<folder>/<benchmark>.jsonl` gets a line per row, in file order.

    Rows already in the partial file of a stopped evaluation aren't decoded again.
    Batches hold rows of like length, longest first, so that memory runs out at once or never.
    advance: told of the rows done, for a progress bar.

    Returns n, correct, unparsed and seconds.
    """
    file = folder / f"{benchmark.name}.jsonl"
    if not file.is_file():
        partial = folder / f"{benchmark.name}.partial.jsonl"
        done = _read_partial(partial)
        advance(len(done))
        prompts = [protocol.evaluation_prompt(row) for row in rows]
        waiting = [i for i in range(len(rows)) if i not in done]
        waiting.sort(key=lambda i: (-len(prompts[i]), i))
        with partial.open("a", encoding="utf-8") as out:
            for start in range(0, len(waiting), batch_size):
                batch = waiting[start : start + batch_size]
                began = time.perf_counter()
                texts = decode([prompts[i] for i in batch])
                seconds = time.perf_counter() - began
                for i, text in zip(batch, texts, strict=True):
                    done[i] = judge(benchmark, protocol, i, prompts[i], rows[i]["answer"], text)
                    done[i]["seconds"] = round(seconds / len(batch), 4)
                    out.write(json.dumps(done[i], ensure_ascii=False) + "\n")
                out.flush()
                advance(len(batch))
        ordered = "".join(json.dumps(done[i], ensure_ascii=False) + "\n" for i in sorted(done))
        partial.write_text(ordered, encoding="utf-8")
        os.replace(partial, file)
    return count(read_predictions(file))


def judge(
    benchmark: Benchmark, protocol: Protocol, number: int, prompt: str, gold: str, text: str
) -> dict[str, Any]:
    """One prediction: what the model wrote, what was read from it, and whether that is right."""
    parsed = benchmark.read("### Response:" + text, whole_word=protocol.whole_word_answers)
    return {
        "id": number,
        "prompt_hash": hashlib.sha256(prompt.encode()).hexdigest()[:12],
        "raw": text,
        "parsed": parsed,
        "gold": gold,
        "correct": benchmark.is_right(parsed, gold),
    }


def count(predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Recompute a benchmark's figures from its predictions."""
    return {
        "n": len(predictions),
        "correct": sum(row["correct"] for row in predictions),
        "unparsed": sum(row["parsed"] is None for row in predictions),
        "seconds": round(sum(row["seconds"] for row in predictions), 2),
    }


def read_predictions(file: Path) -> list[dict[str, Any]]:
    """All rows of a predictions file; UserError naming file and line if one can't be read."""
    predictions = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            predictions.append(json.loads(line))
        except json.JSONDecodeError:
            raise UserError(f"{file}: line {number} is malformed; delete the file") from None
    return predictions


def _read_partial(file: Path) -> dict[int, dict[str, Any]]:
    """Rows that a stopped evaluation finished; a line cut off in the middle is dropped."""
    done: dict[int, dict[str, Any]] = {}
    if not file.is_file():
        return done
    whole = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        done[row["id"]] = row
        whole.append(line + "\n")
    file.write_text("".join(whole), encoding="utf-8")
    return done
