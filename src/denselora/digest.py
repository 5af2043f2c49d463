"""Whether tensors are the same, without keeping a copy of them."""

import torch
from torch import Tensor, nn

# 64-bit words summed at a time: what is held beside the tensor
CHUNK = 2**20


def digests(model: nn.Module) -> dict[str, int]:
    """A digest of every tensor by its name: any change of a value, however small, changes it."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    # stacked, so that a GPU is waited for once
    values = torch.stack([digest(tensor.detach()) for tensor in tensors.values()]).tolist()
    return dict(zip(tensors, values, strict=True))


def digest(tensor: Tensor) -> Tensor:
    """Sum of the tensor's words times odd numbers that grow with the place, mod 2⁶⁴ (int64 [])."""
    data = tensor.contiguous().flatten().view(torch.uint8)
    words = data.view(torch.int64) if len(data) % 8 == 0 else data.long()
    odd = 2 * torch.arange(min(CHUNK, len(words)), device=tensor.device) + 1
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    for chunk in words.split(CHUNK):
        total = 31 * total + (chunk * odd[: len(chunk)]).sum()
    return total
