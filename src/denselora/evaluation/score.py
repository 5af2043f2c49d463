"""One benchmark: rows in, predictions on disk."""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils.memory import should_reduce_batch_size
from datasets import Dataset

from denselora.errors import UserError
from denselora.evaluation.context import compute_head, shared_head
from denselora.evaluation.judge import prompt_hash
from denselora.evaluation.partial import Partial, append
from denselora.evaluation.scoring import Question, Scoring
from denselora.evaluation.second_opinion import predict
from denselora.results.predictions import read_predictions
from denselora.tasks import Benchmark


def score(
    benchmark: Benchmark,
    rows: Dataset,
    scoring: Scoring,
    folder: Path,
    batch_tokens: int,
    advance: Callable[[int], Any] = lambda rows: None,
) -> None:
    """Answer this process's share of the rows that aren't answered yet.

    Rows go longest first, so that memory runs out at once or never, and every process gets as many
    long ones as the others. When it does run out, the batch is halved and all later ones are
    smaller. `finish` then merges what the processes have.

    advance: told of rows done, for a progress bar.
    """
    partial, process = Partial(folder, benchmark.name), PartialState()
    prompts = [scoring.protocol.evaluation_prompt(row) for row in rows]
    if partial.whole.is_file():
        _check_same(read_predictions(partial.whole, benchmark.name), prompts, folder)
        advance(len(share(prompts, process)))
        return
    done = partial.done()
    _check_same(done.values(), prompts, folder)
    if scoring.kind == "lm-eval":
        if process.is_main_process and len(done) < len(rows):
            with partial.open(0) as out:
                began = time.perf_counter()
                answers = predict(
                    scoring.model, scoring.tokenizer, scoring.protocol, benchmark, rows
                )
                append(out, answers, time.perf_counter() - began)
        advance(len(share(prompts, process)))
        return
    questions = scoring.questions(benchmark, rows)
    order = sorted(range(len(rows)), key=lambda i: (-len(questions[i].ids), i))
    waiting = share([i for i in order if i not in done], process)
    advance(len(share(order, process)) - len(waiting))
    head = compute_head(scoring.model, shared_head([question.ids for question in questions]))
    process.wait_for_everyone()  # nobody appends while another still reads
    with partial.open(process.process_index) as out:
        batches = Batches(
            [questions[i] for i in waiting], batch_tokens, scoring.room, len(head.ids)
        )
        for batch in batches:
            began = time.perf_counter()
            try:
                answers = scoring.answer(benchmark, head, batch)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                answers = None
            if answers is None:  # outside of the except: the error holds the batch's memory
                batches.halve(batch, f"{benchmark.name}: out of memory")
                continue
            append(out, answers, time.perf_counter() - began)
            advance(len(batch))


def finish(benchmark: Benchmark, rows: Dataset, folder: Path) -> float | None:
    """Merge the processes' predictions into `<folder>/<benchmark>.jsonl`, in the rows' order.

    Returns the seconds it took (the slowest process's), None if it was merged before.
    """
    partial = Partial(folder, benchmark.name)
    if partial.whole.is_file():
        if len(read_predictions(partial.whole, benchmark.name)) != len(rows):
            raise UserError(
                f"{partial.whole}: made from other rows; choose another output_dir or delete it"
            )
        partial.remove()
        return None
    missing = len(rows) - len(partial.done())
    if missing:
        raise UserError(f"{benchmark.name}: {missing} of {len(rows)} rows have no prediction")
    return partial.merge()


class Batches:
    """Questions in batches of at most so many tokens: prompts, their padding and `room` a row.

    A batch also ends where a row is so much shorter than the longest that padding would be more
    than an eighth of what attention sees; with all rows of a benchmark that seldom happens.

    head: tokens of each prompt that are computed already.
    """

    def __init__(self, questions: Sequence[Question], tokens: int, room: int, head: int = 0):
        self.waiting, self.tokens, self.room = list(questions), tokens, room
        self.head = head

    def __iter__(self) -> Iterator[list[Question]]:
        while self.waiting:
            rows = self._fitting()
            batch, self.waiting = self.waiting[:rows], self.waiting[rows:]
            yield batch

    def _fitting(self) -> int:
        longest, real = len(self.waiting[0].ids), 0
        for rows, question in enumerate(self.waiting, start=1):
            computed = rows * (longest - self.head)
            real += len(question.ids) - self.head
            too_many = rows * (longest + self.room) > self.tokens
            if rows > 1 and (too_many or computed - real > computed / 8):
                return rows - 1
        return len(self.waiting)

    def halve(self, batch: list[Question], reason: str) -> None:
        """Put a batch back and make all that follow half as large; UserError if it is one row."""
        if len(batch) == 1:
            raise UserError(f"{reason} on a single row of {len(batch[0].ids)} tokens")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.waiting = batch + self.waiting
        self.tokens = (len(batch[0].ids) + self.room) * (len(batch) // 2)
        print(f"{reason}; batches have at most {self.tokens} tokens from here on", flush=True)


def share(items: Sequence[Any], process: PartialState) -> Sequence[Any]:
    """Every n-th of the items: this process's part."""
    return items[process.process_index :: process.num_processes]


def _out_of_memory(error: Exception) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or should_reduce_batch_size(error)


def _check_same(done: Iterable[dict], prompts: Sequence[str], folder: Path) -> None:
    """Raise UserError unless the predictions at hand are for these prompts."""
    for row in done:
        number = row["id"]
        if number >= len(prompts) or row["prompt_hash"] != prompt_hash(prompts[number]):
            raise UserError(
                f"output_dir={folder}: holds predictions for other rows; choose another folder"
            )
