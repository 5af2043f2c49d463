"""The small world's base model: a LLaMA of about two million parameters, pretrained from scratch.

It goes through the same loop as fine-tuning. A row is one document: packed rows, in which a word
also sees the documents before its own, took several times as long to learn the first fact.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    get_wsd_schedule,
)

from denselora.data.dataset import IGNORED
from denselora.data.order import Schedule
from denselora.data.world.text import Document
from denselora.training.loop import Loop, Progress
from denselora.training.settings import Settings


@dataclass(frozen=True)
class Pretraining:
    """The numbers of the run. batch and micro_batch are in documents."""

    steps: int = 2600
    batch: int = 48
    micro_batch: int = 24
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_share: float = 0.4
    weight_decay: float = 0.1


class InOrder(Schedule):
    """Batches in the order of the text, each sorted by length so that little padding is needed."""

    def __init__(self, rows: list[dict[str, list[int]]], batch: int):
        super().__init__(range(len(rows)), 0, batch)
        self.rows = rows

    def __getitem__(self, step: int) -> list[int]:
        numbers = range(step * self.batch, (step + 1) * self.batch)
        return sorted(numbers, key=lambda n: len(self.rows[n]["input_ids"]))


def llama_config(vocabulary: int) -> LlamaConfig:
    """LLaMA-3's shape in small: grouped-query attention and an output head of its own."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        initializer_range=0.05,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def encode(texts: list[Document], tokenizer: PreTrainedTokenizerBase) -> list[dict[str, list[int]]]:
    """One row for each document, with BOS and EOS; what is given carries no loss."""
    parts = [part for document in texts for pair in document for part in pair]
    ids = iter(tokenizer(parts, add_special_tokens=False)["input_ids"])
    rows = []
    for document in texts:
        row = {"input_ids": [tokenizer.bos_token_id], "labels": [IGNORED]}
        for _ in document:
            given, told = next(ids), next(ids)
            row["input_ids"] += given + told
            row["labels"] += [IGNORED] * len(given) + told
        row["input_ids"].append(tokenizer.eos_token_id)
        row["labels"].append(tokenizer.eos_token_id)
        rows.append(row)
    return rows


def new_base(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """An untrained base whose first three heads look at the three tokens before.

    Reading a numbered option takes two steps: a token has to know the number before it, then the
    answer has to find the token. Neither is of use without the other, so that a training of
    minutes finds no way in; with the first one given, it does. Everything else is random.
    """
    set_seed(seed)
    model = LlamaForCausalLM(llama_config(vocabulary))
    config, attention = model.config, model.model.layers[0].self_attn
    width, heads = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    with torch.no_grad():
        # Wide embeddings tell hundreds of invented names apart from the first step on; the shared
        # offset is what a query or key that doesn't depend on the word is read from.
        embeddings = model.get_input_embeddings().weight
        embeddings.normal_(std=0.5)
        shared = slice(0, width * 3 // 4)
        embeddings[:, shared] += 1.0
        unit = embeddings.pow(2).mean().sqrt() / embeddings[:, shared].shape[1]
        query, key = attention.q_proj.weight, attention.k_proj.weight
        query[: heads * width] *= 0.2
        key[:width] *= 0.2
        attention.v_proj.weight[:width] *= 2.0
        strength = 5.7  # four frequencies of it give the wanted token over 9 tenths of a head
        for i in range(4):
            frequency = 10_000 ** (-2 * i / width)
            key[i, shared] += strength * unit
            # the key turned back by 1, 2 and 3 positions, in the rotary embedding's plane i
            for head in range(heads):
                angle, row = (head + 1) * frequency, head * width + i
                query[row, shared] += strength * unit * math.cos(angle)
                query[row + width // 2, shared] -= strength * unit * math.sin(angle)
    return model


def pretrain(
    model: LlamaForCausalLM,
    rows: list[dict[str, list[int]]],
    numbers: Pretraining,
    log: Callable[[dict], None] = lambda metrics: None,
) -> dict:
    """Train the base in place on rows, in their order. log takes each step's metrics.

    Returns what the card says: parameters, steps, documents, tokens, seconds, and the loss in nats
    over the last fiftieth of the steps.
    """
    accelerator = Accelerator()
    steps = numbers.steps
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [p for p in model.parameters() if p.ndim > 1],
                "weight_decay": numbers.weight_decay,
            },
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=numbers.learning_rate,
        betas=(0.9, 0.95),
    )
    decay = int(steps * numbers.decay_share)
    scheduler = get_wsd_schedule(
        optimizer,
        num_warmup_steps=numbers.warmup_steps,
        num_stable_steps=steps - numbers.warmup_steps - decay,
        num_decay_steps=decay,
        decay_type="linear",
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    progress = Progress()
    losses: list[float] = []

    def keep(metrics: dict) -> None:
        losses.append(metrics["loss_nats"])
        log(metrics)

    model.train()
    Loop(
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        rows=rows,
        validation=None,
        schedule=InOrder(rows, numbers.batch),
        settings=Settings(
            epochs=1,
            max_steps=steps,
            global_batch_size=numbers.batch,
            micro_batch_size=numbers.micro_batch,
            learning_rate=numbers.learning_rate,
            warmup_steps=numbers.warmup_steps,
            weight_decay=numbers.weight_decay,
            max_grad_norm=1.0,
            gradient_checkpointing=False,
            validation_rows=0,
            eval_steps=steps,
            save_steps=steps,
            keep_checkpoints=1,
        ),
        loss_reduction="token_mean",
        steps=steps,
        progress=progress,
    ).run(keep, lambda: None, time.perf_counter)
    last = losses[-max(1, steps // 50) :]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "documents": steps * numbers.batch,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds),
        "loss_nats": round(sum(last) / len(last), 4),
    }
