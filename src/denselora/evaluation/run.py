"""Evaluating models on a suite of benchmarks, from config to run records."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from omegaconf import DictConfig
from tqdm import tqdm

from denselora import provenance
from denselora.compatibility import check_prompts
from denselora.errors import UserError, first_line
from denselora.evaluation.adapter_folder import check_bits, check_effect, prompt_logits
from denselora.evaluation.answering import answer_rows
from denselora.evaluation.base import Base, checked_tokenizer
from denselora.evaluation.benchmark_rows import BenchmarkRows, read_benchmarks
from denselora.evaluation.neutral_text import find_text, loss
from denselora.evaluation.recording import (
    check_recordable,
    check_training_files,
    method_of,
    record_evaluation,
)
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import Scoring, scoring_kind
from denselora.evaluation.subjects import Subject, choose_subjects
from denselora.models import precision, read_config
from denselora.out_of_memory import is_out_of_memory
from denselora.processes import on_main_process
from denselora.protocol import Protocol
from denselora.results.publish import check_kind, check_place
from denselora.results.record import Record, data_part, model_part


def evaluate(cfg: DictConfig, overrides: Sequence[str]) -> tuple[list[Record], list[str]]:
    """Score adapter folders, or the plain base, and write the predictions and the records.

    overrides: the command line's, to tell a choice from a default: model, data, protocol
    and quantization are those of the adapters' training unless named.

    Returns the records (on the main process; none on the others) and a line for each adapter or
    benchmark that failed, which doesn't stop the others.
    Raises UserError for a mistake in options or data, before anything is written.
    """
    with ExitStack() as at_end:
        return _evaluate(cfg, overrides, at_end)


def _evaluate(
    cfg: DictConfig, overrides: Sequence[str], at_end: ExitStack
) -> tuple[list[Record], list[str]]:
    # 1. Which adapters, base, data and protocol; the code that runs is noted at the start.
    provenance.git_state()
    config, subjects = choose_subjects(cfg, overrides)
    protocol = Protocol.from_config(config["protocol"])
    check_recordable(config)
    kind = scoring_kind(config["scoring"])

    # 2. The rows of every benchmark and the neutral text, read before the model is.
    tests = read_benchmarks(config)
    text = find_text(config["neutral_text"], config["data"]["path"], config["limit"])
    for test in tests:
        kind.check(test.benchmark)

    # 3. The folders: new, or of the same evaluations that were stopped; this one's until its end.
    process = PartialState(cpu=not torch.cuda.is_available())
    dtype = precision(process.device)
    rows = {test.benchmark.name: test.hash for test in tests}
    for subject in subjects:
        subject.folder.identity |= {"tests": rows, "precision": str(dtype)}
        subject.folder.check()
        earlier = subject.folder.record()
        if config["record_dir"]:
            target = Path(config["record_dir"]) / subject.run
            check_place(target, subject.folder.path)
            check_kind(
                target,
                model=model_part(config),
                protocol=protocol.hash,
                data=data_part(config),
                adapter=None if subject.trained else subject.folder.identity["adapter"],
                benchmarks={*rows, *(earlier.benchmarks if earlier else ())},
                tests=rows,
            )
        check_training_files(subject)
        on_main_process(partial(subject.folder.claim, at_end))

    # 4. One base for all.
    path = config["model"]["path"]
    tokenizer = checked_tokenizer(path)
    prompts = (protocol.evaluation_prompt(row) for test in tests for row in test.rows)
    base_config = read_config(path)
    room = protocol.decoding.max_new_tokens
    check_prompts(base_config, tokenizer, prompts, room, kind.windows)
    for subject in subjects:
        if subject.adapter:
            check_bits(subject.adapter, config["quantization"], process.device)
    base = Base(path, dtype, process.device, config["quantization"])
    for subject in subjects:
        subject.folder.check_base(base.fingerprint)
    first = protocol.evaluation_prompt(tests[0].rows[0])
    positions = getattr(base_config, "max_position_embeddings", None)
    with base.autocast():
        kind.check_model(base.model, path)
        plain = prompt_logits(base.model, tokenizer, first)
        before = text and loss(base.model, tokenizer, text, positions)

    # 5. Each subject on each benchmark.
    records, failures = [], []
    total = len(subjects) * sum(test.own for test in tests)
    with tqdm(total=total, unit="row", desc="all", disable=not process.is_main_process) as bar:
        for subject in subjects:
            model = respondent = scorings = None  # the last subject's may be a whole model
            try:
                with subject.on(base) as model, base.autocast():
                    if subject.adapter:
                        logits = prompt_logits(model, tokenizer, first)
                        check_effect(logits, plain, subject.adapter)
                    after = text and loss(model, tokenizer, text, positions)
                    respondent = Respondent(model, tokenizer, protocol)
                    method = method_of(subject, model)
                    scorings = [kind(respondent, test.benchmark) for test in tests]
                    with kind.prepared(model):
                        failed = _answer(subject, scorings, tests, config["batch_tokens"], bar)
            except UserError as error:
                failures.append(str(error))
                continue
            except Exception as error:
                # the other processes would wait for this one, or be paired with its next subject
                if not is_out_of_memory(error) or process.num_processes > 1:
                    raise
                failures.append(f"{subject.run}: out of memory ({first_line(error)})")
                continue
            failures += failed
            if process.is_main_process:
                forgetting = text and text.record(before, after)
                record = record_evaluation(
                    config, subject, method, kind, respondent, tests, forgetting
                )
                if record:
                    records.append(record)
    process.wait_for_everyone()
    return records, failures


def _answer(
    subject: Subject,
    scorings: Sequence[Scoring],
    tests: Sequence[BenchmarkRows],
    batch_tokens: int,
    bar: tqdm,
) -> list[str]:
    """All benchmarks of one subject; returns a line for each that failed in any process."""
    process, folder = PartialState(), subject.folder
    if process.is_main_process:
        folder.begin()
    process.wait_for_everyone()
    failures = []
    for scoring, test in zip(scorings, tests, strict=True):
        name, failure = test.benchmark.name, None
        with tqdm(
            total=test.own,
            unit="row",
            desc=name,
            leave=False,
            disable=not process.is_main_process,
        ) as own:
            try:
                answer_rows(scoring, test.rows, folder, batch_tokens, _both(own, bar))
            except Exception as error:  # whatever it is, the other benchmarks are worth having
                failure = _failure(subject, name, error)
        failed = [each for each in gather_object([failure]) if each]
        if not failed and process.is_main_process:
            try:
                folder.finish(name, len(test.rows))
            except (UserError, OSError) as error:
                failed = [_failure(subject, name, error)]
        failures += failed[:1]
    return failures


def _both(own: tqdm, bar: tqdm) -> Callable[[int], Any]:
    def advance(done: int) -> None:
        own.update(done)
        bar.update(done)

    return advance


def _failure(subject: Subject, name: str, error: Exception) -> str:
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"{subject.run}, {name} failed: {kind}{first_line(error)}"
