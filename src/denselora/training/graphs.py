"""CUDA graphs of a model's blocks: the host starts a pass with two calls, not with thousands.

At a few thousand tokens a GPU is done with a kernel before the host has started the next one, so
that the host decides how fast a step is. Recorded once and replayed, kernels follow each other at
once. Embedding, head and loss, whose sizes change from pass to pass, stay outside.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils.memory import should_reduce_batch_size
from peft import PeftModel
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from denselora.data.dataset import Batch
from denselora.errors import UserError, first_line
from denselora.training.attention import Rows, arguments
from denselora.training.compiled import SIZES


def check_graphs(accelerator: Accelerator, dtype: torch.dtype) -> None:
    """UserError where passes can't be recorded: no GPU, fp32, several processes."""
    why = None
    if accelerator.device.type != "cuda":
        why = "needs a GPU"
    elif dtype == torch.float32 or torch.cuda.get_device_capability() < (8, 0):
        why = "needs a base in half precision on a GPU with flash attention"
    elif accelerator.num_processes > 1:
        why = "not for several processes"
    if why:
        raise UserError(f"trainer.cuda_graphs=true: {why}; set it to false")


class GraphedBlocks:
    """Passes through the blocks of a model in training, recorded for each size that occurs.

    A pass is padded to the next multiple of `pass_tokens` / 8. rows: the most in a pass. longest:
    tokens of the longest row. Recording draws no random number of the run's: what dropout draws is
    what it would have drawn.
    """

    def __init__(self, model: nn.Module, pass_tokens: int, rows: int, longest: int):
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        self._embed, self._backbone = base.get_input_embeddings(), base.base_model
        self._forward = self._backbone.forward
        self._unit = -(-pass_tokens // SIZES)
        self._rows, self._longest = rows + 1, max(longest, self._unit)  # one row is padding
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[int, nn.Module] = {}
        self._trained = [weight for weight in model.parameters() if weight.requires_grad]
        # A graph's gradients lie where its next replay writes; autograd adds them to these.
        self._gradients = [torch.zeros_like(weight) for weight in self._trained]
        self._backbone.forward = self._pass

    def padded(self, batch: Batch) -> Batch:
        """The batch, which lies on the model's device, at the next larger size, with empty rows."""
        batch = batch.padded(-(-batch.tokens // self._unit) * self._unit)
        empty = self._rows - len(batch.lengths)
        starts = torch.cat([batch.starts, batch.starts.new_full((empty,), batch.tokens)])
        return replace(batch, starts=starts, lengths=(*batch.lengths, *[0] * empty))

    @contextmanager
    def watched(self, batch: Batch) -> Iterator[None]:
        """For a padded batch's forward and backward pass; UserError if it can't be recorded."""
        if all(weight.grad is None for weight in self._trained):
            torch._foreach_zero_(self._gradients)
            for weight, gradient in zip(self._trained, self._gradients, strict=True):
                weight.grad = gradient
        known = batch.tokens in self._graphs
        try:
            yield
        except RuntimeError as error:
            self._graphs.clear()
            if known or should_reduce_batch_size(error):
                raise
            raise UserError(
                f"trainer.cuda_graphs=true: a pass of {batch.tokens} tokens can't be recorded "
                f"({first_line(error)}); set it to false"
            ) from error

    def _pass(self, input_ids=None, position_ids=None, rows: Rows | None = None, **others):
        """In the place of the blocks' forward."""
        if rows is None or not (self._backbone.training and torch.is_grad_enabled()):
            more = {} if rows is None else arguments(rows)
            return self._forward(input_ids=input_ids, position_ids=position_ids, **others | more)
        given = self._embed(input_ids), position_ids, rows.starts
        tokens = input_ids.shape[1]
        if tokens not in self._graphs:
            self._graphs[tokens] = self._record(given)
        return BaseModelOutputWithPast(last_hidden_state=self._graphs[tokens](*given))

    def _record(self, given: tuple[torch.Tensor, ...]) -> nn.Module:
        blocks = _Blocks(self._forward, self._trained, self._longest)
        samples = tuple(t.detach().clone().requires_grad_(t.requires_grad) for t in given)
        random = torch.cuda.get_rng_state()
        half = torch.get_autocast_dtype("cuda")
        with torch.autocast(
            "cuda", half, enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False
        ):
            torch.cuda.make_graphed_callables(
                blocks, samples, allow_unused_input=True, pool=self._pool
            )
        torch.cuda.set_rng_state(random)
        return blocks


class _Blocks(nn.Module):
    """The blocks as a function of tensors alone: its arguments and what is trained."""

    def __init__(self, forward: Callable, trained: list[nn.Parameter], longest: int):
        super().__init__()
        self.trained = nn.ParameterList(trained)  # shared pairs lie outside the blocks
        self._whole, self._longest = forward, longest

    def forward(self, embedded, position_ids, starts) -> torch.Tensor:
        rows = Rows(starts, (), self._longest)
        return self._whole(
            inputs_embeds=embedded, position_ids=position_ids, use_cache=False, **arguments(rows)
        ).last_hidden_state
