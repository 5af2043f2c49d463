"""A global batch of 16 rows of different lengths, and a model to train on it."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from peft import PeftModel

from denselora.data.batch import IGNORED
from denselora.training.attention import keep_rows_apart
from denselora.training.batches import Batches
from denselora.training.loss import weighted_loss
from tests.tiny import adapted_llama

LENGTHS = (5, 9, 7, 12, 6, 6, 11, 8, 3, 10, 4, 9, 13, 7, 5, 8)
ALL = sum(LENGTHS)


class Rows:
    """16 rows of different lengths, the first three tokens without loss."""

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        ids = [(number * 31 + place * 17) % 128 for place in range(LENGTHS[number])]
        return {"input_ids": ids, "labels": [IGNORED] * 3 + ids[3:]}


def global_batch(reduction: str, numbers: Sequence[int] = range(16), **processes) -> Batches:
    """The rows of these numbers as the batch of step 0, in micro-batches of 4."""
    return Batches(
        rows=Rows(), schedule=[numbers], reduction=reduction, micro_batch_size=4, **processes
    )


def model_for_training(**overrides) -> PeftModel:
    model = adapted_llama(**overrides)
    assert keep_rows_apart(model.get_base_model())
    return model


def backward(model, passes, head, blocks=None) -> float:
    """The passes' summed loss; their gradients are added to the model's. blocks: compiled or
    recorded ones, which pad and watch each pass."""
    total = 0.0
    for batch in passes:
        batch = blocks.padded(batch) if blocks else batch
        with blocks.watched(batch) if blocks else nullcontext():
            loss = weighted_loss(model, batch, head)
            loss.backward()
        total += loss.item()
    return total


def trained_gradients(model) -> dict[str, torch.Tensor]:
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
