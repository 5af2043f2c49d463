"""train() in two and four gloo processes, under DDP and FSDP2, against one process."""

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from denselora.command_line.configs import CONFIGS
from tests.processes import launch, started
from tests.training import killed_process, two_processes

pytestmark = pytest.mark.multiprocess

CPU = {"ACCELERATE_USE_CPU": "true"}

# as `accelerate launch` hands the file on to the processes
FSDP2 = {"ACCELERATE_USE_FSDP": "true"} | {
    key.upper(): str(value).lower() if isinstance(value, bool) else str(value)
    for key, value in OmegaConf.load(CONFIGS / "launch/fsdp2.yaml").fsdp_config.items()
}


def run(inputs: Path, name: str, processes: int, micro_batch_size: int, **environment) -> Path:
    """Train three steps of 16 rows; two processes are stopped after the first and resumed."""
    output = inputs / name
    launch(two_processes.main, processes, {**CPU, **environment}, inputs, output, micro_batch_size)
    return output


def gradients(output: Path) -> dict[str, torch.Tensor]:
    return torch.load(output.with_suffix(".gradients.pt"))["gradients"]


def sharded(output: Path) -> bool:
    return torch.load(output.with_suffix(".gradients.pt"))["sharded"]


def losses(output: Path) -> list[float]:
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    return [line["loss_nats"] for line in lines]


@pytest.fixture(scope="module")
def alone(inputs) -> Path:
    """One process, one pass of all 16 rows."""
    return run(inputs, "16x1", 1, 16)


@pytest.mark.parametrize(("name", "environment"), [("ddp", {}), ("fsdp2", FSDP2)])
def test_two_processes_stopped_and_resumed_equal_one(inputs, alone, name, environment):
    together = run(inputs, name, 2, 2, **environment)  # 2 processes × 2 rows × 4
    assert sharded(together) == (name == "fsdp2")
    expected, found = gradients(alone), gradients(together)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-4, atol=1e-7)
    assert_same_run(together, alone)


@pytest.mark.parametrize(("name", "environment"), [("ddp", {}), ("fsdp2", FSDP2)])
def test_when_one_of_four_is_killed_the_others_say_so_and_the_run_resumes(
    inputs, alone, name, environment
):
    output, variables = inputs / f"killed-{name}", {**CPU, **environment}
    began = time.monotonic()
    for process in started(killed_process.main, 4, variables, inputs, output, 3).processes:
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
    assert time.monotonic() - began < 60
    for rank in range(3):
        said = output.with_suffix(f".{rank}.txt").read_text()
        assert said.startswith("another process of this launch has ended") and "\n" not in said
        assert "resume=true" in said
    assert not (output / "adapter").exists()
    launch(killed_process.main, 4, variables, inputs, output, None)
    assert_same_run(output, alone)


def assert_same_run(together: Path, alone: Path) -> None:
    """Processes sum in another order than one does."""
    assert losses(together) == pytest.approx(losses(alone), abs=1e-4)
    adapter = "adapter/adapter_model.safetensors"
    one, other = load_file(alone / adapter), load_file(together / adapter)
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(other[key], one[key], rtol=1e-2, atol=1e-4)
