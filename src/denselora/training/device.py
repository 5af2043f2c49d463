"""The processes of a run, the device of each, and the precision it computes in."""

import os

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import parse_flag_from_env

from denselora.models import precision
from denselora.training.job import Job

MIXED = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "no"}


def start_accelerator(job: Job) -> tuple[Accelerator, torch.dtype]:
    """Accelerate, and the dtype that the base model is loaded in.

    What is trained stays fp32 under bf16 and fp16: PEFT makes adapters so, and a base that is
    trained itself is loaded so. fp16 comes with Accelerate's loss scaler.
    """
    if job.config["deterministic"]:
        # cuBLAS reads it once, when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # without this, processes on a machine without GPU would not find each other
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    dtype = precision(PartialState(cpu=on_cpu).device, job.settings.precision)
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision=MIXED[dtype],
        log_with=job.config["tracker"],
        project_dir=str(job.folder),
    )
    if accelerator.state.deepspeed_plugin is not None:
        # it clips by itself, and asks for the size of micro-batches that it never makes
        config = accelerator.state.deepspeed_plugin.deepspeed_config
        config["train_micro_batch_size_per_gpu"] = job.settings.micro_batch_size
        config["gradient_clipping"] = job.settings.max_grad_norm
    return accelerator, torch.float32 if job.config["adapter"]["name"] == "full" else dtype
