"""The processes of a run, the device of each, and the precision it computes in."""

import os
import re
from collections import Counter

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import parse_flag_from_env
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from denselora.errors import UserError, first_line
from denselora.models import precision
from denselora.training.job import Job

MIXED = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "no"}

OFF = ("no", "none", "false", "0")
LAUNCH = "launch with a file of configs/launch, see docs/training.md"
# what Accelerate reads that would change the results beside the config: the values that change
# nothing, as `accelerate launch` sets them, and what to do instead of setting another
FOREIGN = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        ("1",),
        "set trainer.global_batch_size and trainer.micro_batch_size",
    ),
    "ACCELERATE_DYNAMO_BACKEND": (("no",), "set trainer.compile=true"),
    "ACCELERATE_FP8_BACKEND": (OFF, "set trainer.precision"),
    "ACCELERATE_USE_MEGATRON_LM": (OFF, LAUNCH),
    "ACCELERATE_USE_PARALLELISM_CONFIG": (OFF, LAUNCH),
    "ACCELERATE_USE_DEEPSPEED": (OFF, LAUNCH),
    "FSDP_IGNORED_MODULES": (OFF, LAUNCH),
    "FSDP_CPU_RAM_EFFICIENT_LOADING": (OFF, LAUNCH),
}


def computed_in(accelerator: Accelerator) -> str:
    """The precision as `trainer.precision` names it: bf16, fp16 or fp32."""
    return accelerator.mixed_precision.replace("no", "fp32")


def check_environment() -> None:
    """Raise UserError for an environment variable by which Accelerate would train something other
    than the config says. The precision it is given, clipping it isn't asked for."""
    for name, (harmless, instead) in FOREIGN.items():
        value = os.environ.get(name)
        if value is not None and value.lower() not in harmless:
            raise UserError(f"environment variable {name}={value}: unset it; {instead}")
    version = os.environ.get("FSDP_VERSION", "1")
    if parse_flag_from_env("ACCELERATE_USE_FSDP") and version != "2":
        raise UserError(f"environment variable FSDP_VERSION={version}: set 2, or {LAUNCH}")


def start_accelerator(job: Job) -> tuple[Accelerator, torch.dtype]:
    """Accelerate, and the dtype that the base model is loaded in.

    What is trained stays fp32 under bf16 and fp16: PEFT makes adapters so, and a base that is
    trained itself is loaded so. fp16 comes with Accelerate's loss scaler.

    Raises UserError as `check_environment` does, or for a precision that the device can't do.
    """
    check_environment()
    if job.config["deterministic"]:
        # cuBLAS reads it once, when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # without this, processes on a machine without GPU would not find each other
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    try:
        device = PartialState(cpu=on_cpu).device
    except ValueError as error:  # left over from another job's shell
        raise UserError(
            "environment variables WORLD_SIZE, RANK, LOCAL_RANK, MASTER_ADDR and MASTER_PORT: "
            f"unset them, or {LAUNCH} ({first_line(error)})"
        ) from None
    dtype = precision(device, job.settings.precision)
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision=MIXED[dtype],
        log_with=job.config["tracker"],
        project_dir=str(job.folder),
    )
    if accelerator.is_fsdp2:
        # Accelerate's own would compute and sum up adapters, and round the loss, in half precision;
        # autocast does here what it does on one GPU
        accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy()
    return accelerator, torch.float32 if job.config["adapter"]["name"] == "full" else dtype


def check_sharding(accelerator: Accelerator, model: nn.Module, job: Job) -> None:
    """Raise UserError for what FSDP2 can't shard, if it is to. model: of the run, on any device."""
    if not accelerator.is_fsdp2:
        return
    optimizer, quantization = job.settings.optimizer, job.config["quantization"]
    places = Counter(
        id(parameter)
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if parameter.requires_grad and re.search(r"\.\d+\.", name)
    )
    if optimizer.endswith("_8bit"):
        what = f"trainer.optimizer={optimizer} has no sharded states"
    elif quantization == "int8":
        what = "quantization=int8 has weights that can't be sharded"
    elif places and max(places.values()) > 1:
        what = f"adapter={job.adapter.name} shares trained weights among blocks"
    else:
        return
    raise UserError(f"{what}; use LAUNCH=ddp or one process")
