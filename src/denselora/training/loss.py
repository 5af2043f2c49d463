"""Next-token loss under the protocol's reduction."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from denselora.data.dataset import IGNORED


def counted(row: dict[str, list[int]]) -> int:
    """Tokens of a row that carry loss: labelled ones with a token before them."""
    return sum(label != IGNORED for label in row["labels"][1:])


def denominators(micro_batches: Sequence[Sequence[dict]], reduction: str) -> list[float]:
    """What each micro-batch's summed loss is divided by, so that the quotients add up to the loss
    of the global batch.

    micro_batches: all of the global batch, over all processes.
    """
    tokens = [max(1, sum(counted(row) for row in rows)) for rows in micro_batches]
    if reduction == "micro_batch_mean":
        return [count * len(tokens) for count in tokens]
    return [sum(tokens)] * len(tokens)


def summed_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Summed cross-entropy in nats over the labelled tokens; scalar, fp32.

    Rows end at the right, so logits are asked for only from the token before the first label on.
    batch: input_ids, attention_mask, position_ids and labels, each [rows, tokens].
    """
    labels = batch["labels"]
    labelled = (labels[:, 1:] != IGNORED).any(dim=0).nonzero()
    first = int(labelled[0]) if len(labelled) else labels.shape[1] - 2
    keep = labels.shape[1] - first
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
        logits_to_keep=keep,
        use_cache=False,
    ).logits
    return F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1),
        labels[:, first + 1 :].flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )
