"""The config alone decides what is trained, not the environment."""

from types import SimpleNamespace

import pytest
from torch.distributed.fsdp import MixedPrecisionPolicy

from denselora.errors import UserError
from denselora.training import device
from denselora.training.device import FOREIGN, check_environment, start_accelerator
from denselora.training.job import Job
from denselora.training.run import train
from tests.training.inputs import train_config


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", r"trainer\.global_batch_size"),
        ("ACCELERATE_DYNAMO_BACKEND", "inductor", r"trainer\.compile=true"),
        ("ACCELERATE_USE_MEGATRON_LM", "true", "configs/launch"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "configs/launch"),
        ("FSDP_IGNORED_MODULES", "lm_head", "configs/launch"),
    ],
)
def test_a_variable_that_would_change_the_results_is_refused(
    inputs, tmp_path, monkeypatch, name, value, instead
):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=rf"variable {name}={value}: unset it; .*{instead}"):
        train(train_config(inputs, f"output_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()


def test_what_accelerate_launch_sets_by_itself_is_taken(monkeypatch):
    for name, (harmless, _) in FOREIGN.items():
        monkeypatch.setenv(name, harmless[0].upper())
    check_environment()


@pytest.mark.parametrize("version", ["1", None])
def test_the_first_version_of_fsdp_is_refused(monkeypatch, version):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.delenv("FSDP_VERSION", raising=False)
    if version:
        monkeypatch.setenv("FSDP_VERSION", version)
    with pytest.raises(UserError, match="FSDP_VERSION=1: set 2"):
        check_environment()
    monkeypatch.setenv("FSDP_VERSION", "2")
    check_environment()


def test_the_precision_is_the_configs_whatever_the_environment_says(inputs, tmp_path, monkeypatch):
    """Accelerate would take it from there if it weren't given one."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_CLIPPING", "0.001")
    results = []
    for name in ("one", "other"):
        config = train_config(inputs, f"output_dir={tmp_path / name}", "trainer.max_steps=2")
        results.append((train(config) / "adapter_model.safetensors").read_bytes())
        monkeypatch.undo()
    assert results[0] == results[1]


def test_sharded_weights_are_computed_in_as_autocast_says_and_not_rounded_by_fsdp(
    inputs, tmp_path, monkeypatch
):
    plugin = SimpleNamespace(mixed_precision_policy="Accelerate's")
    sharding = SimpleNamespace(is_fsdp2=True, state=SimpleNamespace(fsdp_plugin=plugin))
    monkeypatch.setattr(device, "Accelerator", lambda **_: sharding)
    job = Job.from_config(train_config(inputs, f"output_dir={tmp_path}"))
    assert start_accelerator(job)[0] is sharding
    assert plugin.mixed_precision_policy == MixedPrecisionPolicy()
