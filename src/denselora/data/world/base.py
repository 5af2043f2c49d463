"""The small world's base model: a LLaMA of about two million parameters, pretrained from scratch.

It goes through the same loop as fine-tuning. A row is one document: packed rows, in which a word
also sees the documents before its own, took several times as long to learn the first fact.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    get_wsd_schedule,
)

from denselora.data.dataset import IGNORED
from denselora.data.order import Schedule
from denselora.data.world.text import Document
from denselora.training.loop import Loop, Progress
