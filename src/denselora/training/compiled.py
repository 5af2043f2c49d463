"""torch.compile for the model's blocks, at a few fixed sizes of a forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

import torch
from accelerate import Accelerator
from torch import nn
from torch._dynamo import config as dynamo
from torch._dynamo.exc import TorchDynamoException
from transformers.modeling_layers import GradientCheckpointingLayer

from denselora.data.batch import Batch
from denselora.errors import UserError, first_line

SIZES = 8  # a pass is padded to a multiple of trainer.pass_tokens / 8
VARIANTS = 256  # of one function that torch keeps, where it has 8: sizes × kinds of block


def check_compiler(accelerator: Accelerator) -> None:
    """Compile something; UserError where this machine can't, say for want of a C++ compiler, or
    where the model would be sharded."""
    if accelerator.is_fsdp2:
        raise UserError("trainer.compile=true: not for sharded models; set it to false")
    device = accelerator.device
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.zeros(8, device=device))
    except RuntimeError as error:
        missing = "Triton" if device.type == "cuda" else "a C++ compiler"
        raise UserError(
            f"trainer.compile=true: torch.compile doesn't work here ({first_line(error)}); "
            f"install {missing} or set it to false"
        ) from None


class CompiledBlocks:
    """The blocks of a model, compiled in place: each once for every size of a pass that occurs.

    What lies around them, embedding, head and loss, stays as it was, and so do the weights' names.
    Blocks that share code share what is compiled.

    Raises UserError if the model has no blocks that transformers marks as such.
    """

    def __init__(self, model: nn.Module, pass_tokens: int):
        blocks = [part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)]
        if not blocks:
            raise UserError(f"trainer.compile=true: found no blocks in {type(model).__name__}")
        for block in blocks:
            block.compile(dynamic=False)
        self._unit = -(-pass_tokens // SIZES)
        self._compiled: set[int] = set()

    def padded(self, batch: Batch) -> Batch:
        """The batch, which lies on the model's device, at the next larger size."""
        batch = batch.padded(-(-batch.tokens // self._unit) * self._unit)
        torch._dynamo.mark_dynamic(batch.starts, 0)  # one more than rows
        return batch

    @contextmanager
    def watched(self, batch: Batch) -> Iterator[None]:
        """For a padded batch's forward and backward pass; UserError if it can't be compiled, or
        would be although there was a batch of its size before."""
        known = batch.tokens in self._compiled
        try:
            with dynamo.patch(error_on_recompile=known, recompile_limit=VARIANTS):
                yield
        except TorchDynamoException as error:
            again = "was compiled before and would be again" if known else "doesn't compile"
            raise UserError(
                f"trainer.compile=true: a pass of {batch.tokens} tokens {again}; set it to false "
                f"({shorten(str(error), 500)})"
            ) from None
        self._compiled.add(batch.tokens)
