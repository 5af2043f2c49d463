"""The small world's base model: a LLaMA of about three million parameters, pretrained from scratch.

It goes through the same loop as fine-tuning. A row is one document: packed rows, in which a word
also sees the documents before its own, took several times as long to learn the first fact.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    get_wsd_schedule,
)
from transformers.models.llama.modeling_llama import LlamaAttention

from denselora.data.batch import IGNORED
from denselora.data.order import Schedule
from denselora.errors import UserError
from denselora.training.attention import keep_rows_apart
from denselora.training.batches import Batches
from denselora.training.checkpoint import Checkpoints
from denselora.training.device import check_environment
from denselora.training.loop import Loop
from denselora.training.settings import Settings
from denselora.training.signals import Stopped, asked_to_stop
from denselora.training.state import Progress, State
from denselora.training.weights import load_weights, save_weights
from denselora.world.muon import MuonAndAdamW
from denselora.world.text import Document

SLOW = 10  # of the 16 pairs of a head's components, those whose rotation is slowest
DECAY_SHARE = 0.15  # of the steps, at the end, in which the learning rate goes down to 0


class InOrder(Schedule):
    """Batches in the order of the text, which goes from easy to hard."""

    def __getitem__(self, step: int) -> list[int]:
        return list(range(step * self.batch, (step + 1) * self.batch))


def new_base(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """An untrained base in LLaMA-3's shape: grouped-query attention, one table of embeddings for
    input and output.

    From the second layer on, the last key head and its query heads start out alike, so that a
    token attends to what resembles it (as in Trockman and Kolter 2023, arXiv 2305.09828): without
    that, finding a word's place in a list was at chance after 300 steps; with it, known after 250.
    """
    set_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=512,
            rms_norm_eps=1e-5,
            initializer_range=0.05,
            rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    # wide enough to tell hundreds of invented names apart from the first step on
    nn.init.normal_(model.get_input_embeddings().weight, std=0.5)
    # and yet first logits of about unit size
    nn.init.constant_(model.model.norm.weight, 0.15)
    for layer in model.model.layers[1:]:
        _attend_to_like(layer.self_attn)
    return model


@torch.no_grad()
def _attend_to_like(attention: LlamaAttention) -> None:
    width, head = attention.config.hidden_size, attention.head_dim
    keys = attention.k_proj.weight.view(-1, head, width)
    queries = attention.q_proj.weight.view(len(keys), -1, head, width)
    # only what the position's rotation hardly turns over a document's length
    slow = [at + half for half in (0, head // 2) for at in range(head // 2 - SLOW, head // 2)]
    alike = torch.zeros(head, width)
    alike[slow] = torch.randn(len(slow), width) * width**-0.5
    keys[-1] = alike
    queries[-1] = alike


@torch.no_grad()
def fill_empty_rows(model: LlamaForCausalLM) -> None:
    """Give tiny values to weight rows that are zero.

    Where a query's and its key's component both started at zero neither has a gradient. DoRA
    divides by the norm of each row.
    """
    rows = torch.Generator().manual_seed(0)
    for layer in model.model.layers:
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            empty = projection.weight.norm(dim=1) == 0
            shape = (int(empty.sum()), projection.in_features)
            projection.weight[empty] = torch.randn(shape, generator=rows) * 1e-4


def encode(texts: list[Document], tokenizer: PreTrainedTokenizerBase) -> list[dict[str, list[int]]]:
    """One row for each document, BOS first; what is given carries no loss."""
    parts = [part for document in texts for pair in document for part in pair]
    ids = iter(tokenizer(parts, add_special_tokens=False)["input_ids"])
    rows = []
    for document in texts:
        row = {"input_ids": [tokenizer.bos_token_id], "labels": [IGNORED]}
        for _ in document:
            given, learned = next(ids), next(ids)
            row["input_ids"] += given + learned
            row["labels"] += [IGNORED] * len(given) + learned
        rows.append(row)
    return rows


def _digest(rows: list[dict[str, list[int]]], settings: Settings) -> str:
    """sha256 of what a pretraining goes through: the rows, which follow from the seed, and how."""
    content = json.dumps([list(rows), asdict(settings)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def pretrain(
    model: LlamaForCausalLM,
    rows: list[dict[str, list[int]]],
    settings: Settings,
    folder: Path,
) -> dict[str, Any]:
    """Train the base in place on rows, in their order; checkpoints go into folder.

    Goes on from the newest checkpoint there, which must be of the same rows and settings. Returns
    what the card says: parameters, steps, documents, tokens, seconds, and the loss in nats over the
    last fiftieth of the steps.

    Raises Stopped once saved after SIGTERM, SIGUSR1 or Ctrl-C; UserError for checkpoints of
    another base.
    """
    check_environment()
    digest = _digest(rows, settings)
    accelerator = Accelerator(cpu=True)
    keep_rows_apart(model)
    steps = settings.steps(len(rows))
    optimizer = MuonAndAdamW(model, settings.learning_rate, settings.weight_decay)
    decay = int(steps * DECAY_SHARE)
    scheduler = get_wsd_schedule(
        optimizer,
        num_warmup_steps=settings.warmup_steps,
        num_decay_steps=decay,
        num_training_steps=steps,
        decay_type="linear",
    )
    checkpoints = Checkpoints(folder, settings.keep_checkpoints)
    resumed, saved = checkpoints.newest_whole(print)
    if resumed and saved.get("made_of") != digest:
        raise UserError(
            f"checkpoints={folder}: holds the pretraining of another base (other rows, settings or "
            "seed); delete it or give another folder"
        )
    if resumed:
        load_weights(model, resumed)
        checkpoints.set_aside_after(resumed)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    state = State(
        accelerator=accelerator,
        model=prepared,
        optimizer=optimizer,
        scheduler=scheduler,
        progress=Progress(pass_tokens=settings.pass_tokens),
    )
    losses: list[float] = []
    if saved:
        state.restore(saved, resumed)
        losses = [float(loss) for loss in saved["metrics"].split()]

    def save(good_up_to: int) -> None:
        content = state.collect("\n".join(map(str, losses))) | {"made_of": digest}
        checkpoints.save(
            state.progress.step,
            lambda to: save_weights(model, to),
            content,
            good_up_to=good_up_to,
        )

    schedule = InOrder(range(len(rows)), 0, settings.global_batch_size)
    batches = Batches(
        rows=rows,
        schedule=schedule,
        reduction="token_mean",
        micro_batch_size=settings.micro_batch_size,
    )
    with asked_to_stop() as stop:
        loop = Loop(
            state=state,
            batches=batches,
            settings=settings,
            steps=steps,
            log=lambda metrics: losses.append(metrics["loss_nats"]),
            save=save,
            asked_to_stop=stop,
        )
        if loop.run():
            raise Stopped(state.progress.step, "the same command goes on from there", report=True)
    last = losses[-max(1, steps // 50) :]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "documents": steps * settings.global_batch_size,
        "tokens": state.progress.tokens,
        "seconds": round(state.progress.seconds),
        "loss_nats": round(sum(last) / len(last), 4),
    }
