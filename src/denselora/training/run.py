"""One training run, from resolved config to adapter folder."""

import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from omegaconf import DictConfig
from transformers import get_linear_schedule_with_warmup

from denselora import provenance
from denselora.adapter import use_fused
from denselora.data.rows import read_rows
from denselora.errors import UserError
from denselora.lock import locked
from denselora.methods import attach, describe
from denselora.models import check_access, count_parameters, fingerprint, load_base, load_tokenizer
from denselora.processes import check_alike, ending_together, on_main_process
from denselora.results.record import Method, part
from denselora.threads import use_threads
from denselora.training.adalora import RankBudget
from denselora.training.attention import keep_rows_apart
from denselora.training.batches import Batches, validation_batches
from denselora.training.checkpoint import Checkpoints, copy_weights
from denselora.training.compiled import CompiledBlocks, check_compiler
from denselora.training.device import check_sharding, computed_in, start_accelerator
from denselora.training.graphs import GraphedBlocks, against_graphs
from denselora.training.health import Diverged
from denselora.training.inputs import check_inputs
from denselora.training.job import Job
from denselora.training.loop import Loop
from denselora.training.loss import frozen_head
from denselora.training.optimizer import build_optimizer, check_optimizer
from denselora.training.outcome import Outcome
from denselora.training.plan import Plan, print_dry_run
from denselora.training.run_folder import RESUME, RunFolder
from denselora.training.signals import Stopped, asked_to_stop
from denselora.training.state import Progress, State
from denselora.training.tracker import end_tracker, start_tracker, track
from denselora.training.weights import (
    gathered_weights,
    load_weights,
    matrices,
    save_weights,
    write_run_change,
)


def train(cfg: DictConfig) -> Path | None:
    """Fine-tune the configured model; returns the adapter folder, or None after a dry run.

    The run folder holds config.yaml, metrics.jsonl (a line per step), checkpoints/ and, at the
    end, adapter/ with PEFT's two files, training.json (figures, config, base) and a model card, and
    change.npz (how far each matrix moved).

    Raises UserError for a mistake in config or data, before anything is written; Diverged when
    loss or gradient stays non-finite; Stopped (exit code 75) once saved after SIGTERM,
    SIGUSR1 or Ctrl-C.
    """
    # 1. Check all that can be checked without loading anything, and note the code that runs.
    provenance.git_state()
    job = Job.from_config(cfg)
    settings, folder = job.settings, RunFolder(job.folder)
    dry_run = settings.max_steps == 0
    if not dry_run:
        folder.check(job.config)
        if folder.finished:
            print(f"adapter: {folder.adapter} (finished before)")
            return folder.adapter
    check_access(job.config["model"]["path"])
    raw = read_rows(job.train_file)

    # 2. The processes, their device and precision; the folder is this run's until its end.
    accelerator, dtype = start_accelerator(job)
    check_optimizer(settings.optimizer, accelerator.device)
    with ending_together(RESUME), ExitStack() as at_end:

        def claim() -> None:
            at_end.enter_context(locked(folder.path, "output_dir"))
            folder.check(job.config)  # again: another process may have been here

        if not dry_run:
            on_main_process(claim)

        # 3. The rows and their order.
        tokenizer = load_tokenizer(job.config["model"]["path"])
        with accelerator.main_process_first():
            plan = Plan.of(job, raw, tokenizer, accelerator.num_processes)
        empty = plan.checked_model(tokenizer, accelerator.device)
        check_sharding(accelerator, empty, job)
        if dry_run:
            if accelerator.is_main_process:
                print_dry_run(plan, empty, dtype, computed_in(accelerator))
            return None
        if settings.compile:
            check_compiler(accelerator)
        against = against_graphs(accelerator, dtype, job.config)
        if settings.cuda_graphs is True and against:
            raise UserError(f"trainer.cuda_graphs=true: {against}; set it to false")

        at_end.push(partial(_end, accelerator))
        stop = at_end.enter_context(asked_to_stop())
        at_end.enter_context(use_fused(settings.fused))
        _fine_tune(plan, folder, accelerator, dtype, stop)
    return folder.adapter


def _fine_tune(
    plan: Plan,
    folder: RunFolder,
    accelerator: Accelerator,
    dtype: torch.dtype,
    stop: Callable[[], bool],
) -> None:
    """Load, attach, train, save. A function of its own: `_end` runs when its variables are gone."""
    job, settings, steps = plan.job, plan.job.settings, plan.steps
    # 4. One seed, set before model and adapter exist.
    set_seed(job.config["seed_init"], deterministic=job.config["deterministic"])
    base = load_base(
        job.config["model"]["path"], dtype, accelerator.device, job.config["quantization"]
    )
    use_threads(count_parameters(base)[1])
    base_fingerprint = fingerprint(base)
    apart = keep_rows_apart(base)
    if (settings.compile or settings.cuda_graphs is True) and not apart:
        option = "compile" if settings.compile else "cuda_graphs"
        raise UserError(
            f"trainer.{option}=true: this model would mix a row with its padding; set it to false"
        )
    pass_tokens = settings.pass_tokens if apart else 1
    if settings.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    model = attach(base, job.adapter, steps)
    method = describe(model, job.config["adapter"])
    kept_method = part(Method, "adapter", **method)
    with accelerator.autocast():  # without it some methods of PEFT give fp32 under a base in bits
        head = frozen_head(model)
    start = matrices(model)
    blocks = None
    if settings.compile:
        blocks = CompiledBlocks(model, settings.pass_tokens)
    elif settings.records_graphs and apart and not against_graphs(accelerator, dtype, job.config):
        blocks = GraphedBlocks(
            model,
            settings.pass_tokens,
            rows=settings.global_batch_size,
            longest=max(plan.rows.lengths.values()),
            must=settings.cuda_graphs is True,
        )

    # 5. Where the run goes on; the folder, with the resolved config in it before step one.
    checkpoints = Checkpoints(folder.checkpoints, settings.keep_checkpoints)
    resumed, saved = checkpoints.newest_whole(accelerator.print)
    check_alike(
        {
            "the checkpoint to go on from": resumed and resumed.name,
            "precision": str(dtype),
            "whether rows share a pass": apart,
        },
        f"give them like cards, wait until each machine sees {folder.path} as it is, and {RESUME}",
    )
    inputs = {
        "rows": plan.digest,
        "base": base_fingerprint,
        "precision": computed_in(accelerator),
    }
    if resumed:
        check_inputs(saved, inputs, job, resumed)
        load_weights(model, resumed)
    start_tracker(accelerator, job)
    if accelerator.is_main_process:
        if resumed:
            checkpoints.set_aside_after(resumed)
        folder.begin(job.config, saved["metrics"] if saved else "")
        step = saved["progress"]["step"] if saved else 0
        plan.print(method, step, computed_in(accelerator))
        if not apart:
            print("each row gets a pass of its own: this model would mix rows that share one")

    # 6. Optimizer, learning rate, and dropout's own random stream in each process.
    optimizer = build_optimizer(
        model, settings.optimizer, settings.learning_rate, settings.weight_decay,
        job.config["adapter"],
    )  # fmt: skip
    scheduler = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, steps)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    progress = Progress(pass_tokens=pass_tokens)
    state = State(
        accelerator=accelerator,
        model=prepared,
        optimizer=optimizer,
        scheduler=scheduler,
        progress=progress,
        budget=RankBudget.of(model, accelerator),
    )
    set_seed(job.config["seed"], device_specific=True)
    if saved:
        state.restore(saved, resumed)
        if progress.best_step and settings.checkpoint == "best":
            checkpoints.check(progress.best_step)

    # 7. The loop.
    def log(metrics: dict) -> None:
        if accelerator.is_main_process:
            folder.log(metrics)
        numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
        track(accelerator, numbers, metrics["step"])

    def save(good_up_to: int) -> None:
        weights = gathered_weights(accelerator, prepared)
        main = accelerator.is_main_process
        content = state.collect(folder.metrics_text() if main else "") | {"inputs": inputs}
        if main:
            checkpoints.save(
                progress.step,
                lambda target: save_weights(model, target, weights),
                content,
                keep_too=progress.best_step,
                good_up_to=good_up_to,
            )

    loop = Loop(
        state=state,
        batches=Batches(
            rows=plan.rows,
            schedule=plan.schedule,
            reduction=job.protocol.loss_reduction,
            micro_batch_size=settings.micro_batch_size,
            processes=accelerator.num_processes,
            process=accelerator.process_index,
        ),
        settings=settings,
        steps=steps,
        log=log,
        save=save,
        asked_to_stop=stop,
        validation=validation_batches(plan.held_out, pass_tokens) if plan.held_out else (),
        head=head,
        blocks=blocks,
    )
    outcome = Outcome(
        job=job,
        folder=folder,
        accelerator=accelerator,
        base=base_fingerprint,
        method=kept_method,
        rows=len(plan.rows),
        rows_file=plan.file,
        progress=progress,
    )
    try:
        stopped = loop.run()
    except Diverged as error:
        raise outcome.diverged(error, checkpoints.latest(progress.good_up_to)) from error
    if stopped:
        then = f"continue with resume=true in {folder.path}"
        raise Stopped(progress.step, then, accelerator.is_main_process)

    # 8. The adapter folder, whole or not at all.
    best = progress.best_step if settings.checkpoint == "best" else None
    chosen = progress.step if best is None else best  # none was validated on a good step
    if start and accelerator.is_main_process:
        write_run_change(folder.change_file, start, checkpoints.at(chosen))
    outcome.finished(lambda target: copy_weights(checkpoints.at(chosen), target), chosen)


def _end(accelerator: Accelerator, _type, error: BaseException | None, _traceback) -> None:
    """Free the model, which an error's traceback keeps alive, then end the processes' group.

    In the other order DistributedDataParallel ends gloo's group and waits for its threads, holding
    a lock that they may need to free a tensor. Once in many runs that wait never ended.
    """
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    accelerator.free_memory()
    end_tracker(accelerator)
    accelerator.end_training()
