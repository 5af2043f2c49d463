"""Without a GPU, Triton's kernels run in its interpreter: it has to know before it is imported."""

import os
from pathlib import Path

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).parents[1]
