"""One benchmark: rows in, predictions on disk."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from accelerate import PartialState
from datasets import Dataset

from denselora.errors import UserError
from denselora.evaluation.evaluation_folder import EvaluationFolder
from denselora.evaluation.partial import append
from denselora.evaluation.scoring import Scoring
from denselora.evaluation.share import share
from denselora.results.predictions import prompt_hash, read_predictions


def answer_rows(
    scoring: Scoring,
    rows: Dataset,
    folder: EvaluationFolder,
    batch_tokens: int,
    advance: Callable[[int], Any] = lambda rows: None,
) -> None:
    """Answer this process's share of the rows that aren't answered yet, and keep the answers as
    they come. `folder.finish` then merges what the processes have.

    advance: called with the number of rows done, for a progress bar.
    Raises UserError if the folder has predictions for other rows.
    """
    name, process = scoring.benchmark.name, PartialState()
    partial = folder.partial(name)
    prompts = [scoring.respondent.protocol.evaluation_prompt(row) for row in rows]
    if partial.whole.is_file():
        _check_same(read_predictions(partial.whole, name), prompts, folder)
        advance(len(share(prompts)))
        return
    done = partial.done()
    process.wait_for_everyone()  # nobody appends while another still reads
    _check_same(done.values(), prompts, folder)
    answers = scoring.answers(rows, done, batch_tokens)
    left = len(share(range(len(rows) - len(done))))
    advance(len(share(prompts)) - left)
    with partial.open(process.process_index) as out:
        began = time.perf_counter()
        for some in answers:
            append(out, some, time.perf_counter() - began)
            advance(min(len(some), left))  # of the harness, all processes' rows come at once
            left -= min(len(some), left)
            began = time.perf_counter()


def _check_same(done: Iterable[dict], prompts: Sequence[str], folder: EvaluationFolder) -> None:
    """Raise UserError unless the predictions at hand are for these prompts."""
    for row in done:
        number = row["id"]
        if number >= len(prompts) or row.get("prompt_hash") != prompt_hash(prompts[number]):
            raise UserError(
                f"output_dir={folder.path}: holds predictions for other rows; choose another folder"
            )
