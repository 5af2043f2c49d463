"""Compiles what the operator launches, for a GPU that needn't be there; see test_gpu.py.

python tests/adapter/fused/compile_kernels.py ARCHITECTURE,DTYPE,R,ACTIVATION,TOKENS ...

prints a line of JSON for each of the arguments: by kernel the bytes of shared memory that a program
takes. A single token is one of an answer, without dropout.
"""

import inspect
import json
import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from triton.runtime import JITFunction

from denselora.adapter.fused import gpu

NAMES = {
    torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.int64: "i64"
}  # fmt: skip


def launches(dtype: torch.dtype, r: int, activation: str, tokens: int) -> list[tuple]:
    """Each kernel of both passes, with what it is called with."""
    found = []

    def record(kernel, grid):
        return lambda *args, **options: found.append((kernel, args, options))

    x, y = torch.empty(tokens, 4096, dtype=dtype), torch.empty(tokens, 14336, dtype=dtype)
    weights = torch.empty(r, 4096), torch.empty(r, r), torch.empty(14336, r)
    h, training = torch.empty(tokens, r), tokens > 1
    seed = torch.tensor(1) if training else None
    options = seed, 2.0, activation, activation, 0.05, 0.05, 0.05
    JITFunction.__getitem__ = record
    gpu.add(y, h, x, *weights, *options)
    gpu.gradients(y, x, h, *weights, *options, training)
    return found


def compiled(kernel: JITFunction, args: tuple, options: dict, target: GPUTarget):
    """As Triton's launcher specialises a kernel to its arguments."""
    names = ("num_stages", "num_warps")
    stages = {name: options[name] for name in options if name in names}
    options = {name: options[name] for name in options if name not in stages}
    values = inspect.signature(kernel.fn).bind(*args, **options).arguments
    types, constants, hints = {}, {}, {}
    for i, (name, parameter) in enumerate(zip(values, kernel.params, strict=True)):
        value = values[name]
        if parameter.is_constexpr or (isinstance(value, int) and value == 1):
            types[name], constants[name] = "constexpr", value
        elif isinstance(value, float):
            types[name] = "fp32"
        else:
            is_tensor = isinstance(value, torch.Tensor)
            types[name] = f"*{NAMES[value.dtype]}" if is_tensor else "i32"
            if is_tensor or value % 16 == 0:
                hints[(i,)] = [["tt.divisibility", 16]]
    return compile(ASTSource(kernel, types, constants, hints), target=target, options=stages)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        architecture, dtype, r, activation, tokens = argument.split(",")
        target = GPUTarget("cuda", int(architecture), 32)
        found = launches(getattr(torch, dtype), int(r), activation, int(tokens))
        shared = {
            kernel.__name__: compiled(kernel, args, options, target).metadata.shared
            for kernel, args, options in found
        }
        print(json.dumps(shared), flush=True)
