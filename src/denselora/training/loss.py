"""Next-token loss under the protocol's reduction."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from peft import PeftModel
from torch import nn
from torch.nn import functional as F

from denselora.data.batch import Batch, pack
from denselora.training.attention import row_arguments

# Logits that exist at once under a frozen head. On a CPU they should stay in its caches; on a GPU
# each piece reads the whole head from memory, so there should be few.
LOGITS_AT_ONCE = {"cpu": 2**23, "cuda": 2**26}


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


def weighted_loss(model: nn.Module, batch: Batch, head: nn.Module | None = None) -> torch.Tensor:
    """Sum over the counted tokens of weight × cross-entropy in nats; scalar, fp32.

    head: what `frozen_head` gave for the model; then no more than a piece of the logits exists at a
    time, and none is kept for the backward pass.
    """
    with _loss_instead_of_logits(head, batch) if head else nullcontext():
        output = _output(model, batch)
    return output if head else _weighted(output[0], batch.labels, batch.weights)


def frozen_head(model: nn.Module) -> nn.Module | None:
    """The layer that makes the logits, if it isn't trained and nothing follows it (Gemma caps its
    logits, Granite scales them): what `weighted_loss` can take the loss from piece by piece."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    head = base.get_output_embeddings()
    if head is None or any(parameter.requires_grad for parameter in head.parameters()):
        return None
    made: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda module, given, output: made.append(output))
    row = {"input_ids": [0, 0], "labels": [0, 0]}
    with torch.no_grad():
        output = _output(model, pack([row], [1.0]).to(head.weight.device))
    hook.remove()
    return head if output is made[0] else None


def _output(model: nn.Module, batch: Batch) -> torch.Tensor:
    """What the model's head gives for the counted columns: logits [1, counted, vocabulary]."""
    return model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        logits_to_keep=batch.columns,
        use_cache=False,
        **row_arguments(batch),
    ).logits


@contextmanager
def _loss_instead_of_logits(head: nn.Module, batch: Batch) -> Iterator[None]:
    """Within, calling the head gives the batch's loss.

    It is computed inside the model's own forward pass, the only time at which sharded weights are
    whole.
    """
    make_logits = head.forward
    head.forward = lambda hidden: PiecewiseLoss.apply(
        hidden[0], batch.labels, batch.weights, make_logits, head.out_features
    )
    try:
        yield
    finally:
        head.forward = make_logits


class PiecewiseLoss(torch.autograd.Function):
    """Weighted cross-entropy under a frozen head, with the gradient of the hidden states made in
    the forward pass, piece by piece."""

    @staticmethod
    def forward(
        ctx,
        hidden: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
        make_logits: Callable[[torch.Tensor], torch.Tensor],
        vocabulary: int,
    ) -> torch.Tensor:
        """hidden [counted, width], labels and weights [counted] → scalar, fp32.

        make_logits: [n, width] → [n, vocabulary].
        """
        size = max(1, LOGITS_AT_ONCE.get(hidden.device.type, 2**26) // vocabulary)
        differentiate = ctx.needs_input_grad[0]
        # weights are about 1 / counted, which fp16 gradients could not hold
        ctx.scale = 1 / max(1, len(labels))
        weights = weights / ctx.scale
        total = torch.zeros((), device=hidden.device)
        gradient = torch.empty_like(hidden) if differentiate else None
        for start in range(0, len(labels), size):
            piece = slice(start, start + size)
            with torch.set_grad_enabled(differentiate):
                states = hidden[piece].detach().requires_grad_(differentiate)
                loss = _weighted(make_logits(states), labels[piece], weights[piece])
            if differentiate:
                (gradient[piece],) = torch.autograd.grad(loss, states)
            total += loss.detach()
        ctx.save_for_backward(gradient)
        return total * ctx.scale

    @staticmethod
    def backward(ctx, above: torch.Tensor):
        (gradient,) = ctx.saved_tensors
        return (gradient * (above * ctx.scale)).to(gradient.dtype), None, None, None, None


def _weighted(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    losses = F.cross_entropy(logits.float(), labels, reduction="none")
    return torch.dot(losses, weights)  # @ would be in half precision under autocast
