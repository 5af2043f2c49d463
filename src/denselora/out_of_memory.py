"""Memory that runs out."""

import torch
from accelerate.utils.memory import should_reduce_batch_size

# of CUDA, cuBLAS and Triton, which don't go through torch's allocator
WORDS = ("out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on the host or on a GPU."""
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or should_reduce_batch_size(error)
        or (isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS))
    )
