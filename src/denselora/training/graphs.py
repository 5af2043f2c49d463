"""CUDA graphs of a model's blocks: the host starts a pass with two calls, not with thousands.

At a few thousand tokens a GPU is done with a kernel before the host has started the next one, so
that the host decides how fast a step is. Recorded once and replayed, kernels follow each other at
once. Embedding, head and loss, whose sizes change from pass to pass, stay outside.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from peft import PeftModel
from torch import nn
from tqdm import tqdm

from denselora.data.batch import Batch
from denselora.errors import UserError, first_line
from denselora.out_of_memory import is_out_of_memory
from denselora.training.attention import Rows, arguments
from denselora.training.compiled import SIZES

# Flash attention's backward pass adds up in any order, in half precision.
ROUNDING = 0.05


def against_graphs(
    accelerator: Accelerator, dtype: torch.dtype, config: dict[str, Any]
) -> str | None:
    """Why passes can't be recorded here: no GPU, fp32, several processes, a pass that waits for
    what the GPU has found. config: the run's, resolved."""
    if accelerator.device.type != "cuda":
        return "needs a GPU"
    if dtype == torch.float32 or torch.cuda.get_device_capability() < (8, 0):
        return "needs a base in half precision on a GPU with flash attention"
    if accelerator.num_processes > 1:
        return "not for several processes"
    if config["quantization"] == "int8":
        return "bitsandbytes looks for outliers in every pass of quantization=int8"
    if config["adapter"]["name"] == "psoft":
        return "adapter=psoft solves an equation in every pass, and looks whether it could"
    return None


class GraphedBlocks:
    """Passes through the blocks of a model in training, recorded for each size that occurs.

    A pass is padded to the next multiple of `pass_tokens` / 8. rows: the most in a pass. longest:
    tokens of the longest row. must: whether a pass that can't be recorded, or that differs when it
    is replayed, ends the run; else a line says so, and passes go on as without.

    Recording draws no random number of the run's: dropout draws what it would have drawn.
    """

    def __init__(self, model: nn.Module, pass_tokens: int, rows: int, longest: int, must: bool):
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        self._embed, self._backbone = base.get_input_embeddings(), base.base_model
        self._forward = self._backbone.forward
        self._unit = -(-pass_tokens // SIZES)
        self._rows, self._longest = rows + 1, max(longest, self._unit)  # one row is padding
        self._must, self._given_up = must, False
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[int, nn.Module] = {}
        self._kind = None  # of the blocks' output
        self._trained = [weight for weight in model.parameters() if weight.requires_grad]
        # A graph's gradients lie where its next replay writes; autograd adds them to these.
        self._gradients = [torch.zeros_like(weight) for weight in self._trained]
        self._backbone.forward = self._pass
        # recording takes a stream of its own, which autograd would remark upon at every step
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)

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
        try:
            yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                self._graphs.clear()
                self._pool = torch.cuda.graph_pool_handle()  # the old one ends with its graphs
            raise

    def _pass(self, input_ids=None, position_ids=None, rows: Rows | None = None, **others):
        """In the place of the blocks' forward."""
        training = self._backbone.training and torch.is_grad_enabled()
        if rows is None or not training or self._given_up:
            more = {} if rows is None else arguments(rows)
            return self._forward(input_ids=input_ids, position_ids=position_ids, **others | more)
        given = self._embed(input_ids), position_ids, rows.starts
        tokens = input_ids.shape[1]
        if tokens not in self._graphs and not self._record(given, rows, input_ids):
            return self._pass(input_ids, position_ids, rows, **others)
        return self._kind(last_hidden_state=self._graphs[tokens](*given))

    def _record(self, given: tuple[torch.Tensor, ...], rows: Rows, input_ids: torch.Tensor) -> bool:
        """Record a size and compare it with the blocks themselves; whether it is to be used."""
        tokens, graph = given[1].shape[1], None
        try:
            with _uncached_autocast(given[0].device.type):
                own = self._hidden(input_ids, given[1], rows)
                computed = self._result(self._blocks(rows), given)
                # some models read more of a token than its embedding
                off_by, where = _off_by(computed[:1], [own]), "when its tokens come as embeddings"
                if off_by <= ROUNDING:
                    graph = self._capture(given)  # which holds no memory of the computation
                    off_by = _off_by(self._result(graph, given), computed)
                    where = "when it is replayed"
        except RuntimeError as error:
            if self._must and is_out_of_memory(error):
                raise
            why = f"can't be recorded ({first_line(error)})"
            # until then a generator and the allocator go on as if the recording did
            if torch.__version__ < "2.13" and not is_out_of_memory(error):
                raise UserError(
                    f"a pass of {tokens} tokens {why}, after which torch {torch.__version__} can't "
                    "go on; set trainer.cuda_graphs=false"
                ) from None
        else:
            if off_by <= ROUNDING:
                self._graphs[tokens] = graph
                return True
            why = f"differs {where}, by {off_by:.0e}"
        if self._must:
            raise UserError(
                f"trainer.cuda_graphs=true: a pass of {tokens} tokens {why}; set it to false"
            )
        tqdm.write(f"a pass of {tokens} tokens {why}: going on without CUDA graphs")
        self._given_up = True
        self._graphs.clear()
        del graph
        gc.collect()  # a recorded graph holds itself, and its memory
        return False

    def _capture(self, given: tuple[torch.Tensor, ...]) -> nn.Module:
        blocks = _Blocks(self._forward, self._trained, self._longest)
        samples = tuple(t.detach().clone().requires_grad_(t.requires_grad) for t in given)
        with self._own_random_numbers():
            torch.cuda.make_graphed_callables(
                blocks, samples, allow_unused_input=True, pool=self._pool
            )
        return blocks

    @torch.no_grad()
    def _hidden(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, rows: Rows
    ) -> torch.Tensor:
        """What the model's own pass gives; notes the kind of its output."""
        kept = {"position_ids": position_ids, "use_cache": False} | arguments(rows)
        with self._own_random_numbers():
            output = self._forward(input_ids=input_ids, **kept)
        self._kind = type(output)
        return output.last_hidden_state.float()

    def _blocks(self, rows: Rows) -> Callable:
        """The blocks themselves, called as a graph is."""

        def compute(embedded, position_ids, _):
            kept = {"position_ids": position_ids, "use_cache": False} | arguments(rows)
            return self._forward(inputs_embeds=embedded, **kept).last_hidden_state

        return compute

    def _result(
        self, way: Callable, given: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a way gives, and all gradients of its sum, end to end."""
        with self._own_random_numbers():
            result = way(*(tensor.detach() for tensor in given))
        gradients = torch.autograd.grad(
            result, self._trained, torch.ones_like(result), allow_unused=True
        )
        # copies: a graph's results lie where its next replay writes
        parts = [part.float().flatten() for part in gradients if part is not None]
        return result.detach().float().clone(), torch.cat(parts)

    def _own_random_numbers(self):
        """Within, random numbers are drawn without any from the run's stream."""
        device = self._trained[0].device
        return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _uncached_autocast(device: str) -> torch.autocast:
    """Autocast as it is, but without copies of trained weights for later: through them autograd
    remembers the stream of the computation before, and CUDA ends the recording on another."""
    half, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return torch.autocast(device, half, enabled=enabled, cache_enabled=False)


def _off_by(found, expected) -> float:
    """The larger ‖found - expected‖ / ‖expected‖ of the two, NaN if one is."""
    pairs = zip(found, expected, strict=True)
    return float(torch.stack([(one - other).norm() / other.norm() for one, other in pairs]).max())


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
