"""Next-token loss under the protocol's reduction."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from denselora.data.dataset import IGNORED, Batch


def counted(row: dict[str, Sequence[int]]) -> int:
    """Tokens of a row that carry loss: labelled ones with a token before them."""
    return int((np.asarray(row["labels"])[1:] != IGNORED).sum())


def row_weights(counts: Sequence[int], reduction: str, micro_batch_size: int) -> list[float]:
    """What each row's summed loss counts for, so that the weighted sums of a global batch add up to
    its loss, however the rows are spread over forward passes and processes.

    counts: tokens with loss of each row of the global batch, in its order.
    reduction: "token_mean" divides by all tokens of the global batch. "micro_batch_mean" averages
    the token means of the micro-batches, which are `micro_batch_size` neighbours in that order.
    """
    size = len(counts) if reduction == "token_mean" else micro_batch_size
    groups = [counts[start : start + size] for start in range(0, len(counts), size)]
    return [1 / (max(1, sum(group)) * len(groups)) for group in groups for _ in group]


def weighted_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Sum over the rows of weight × summed cross-entropy in nats; scalar, fp32.

    Rows end at the right, so logits are asked for only from the token before the first label on.
    """
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        logits_to_keep=batch.input_ids.shape[1] - batch.first,
        use_cache=False,
    ).logits
    losses = F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1),
        batch.labels[:, batch.first + 1 :].flatten(),
        ignore_index=IGNORED,
        reduction="none",
    )
    return losses.view(len(batch.weights), -1).sum(dim=1) @ batch.weights
