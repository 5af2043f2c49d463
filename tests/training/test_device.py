"""The config alone decides what is trained, not the environment."""

from types import SimpleNamespace

import pytest
from torch.distributed.fsdp import MixedPrecisionPolicy

from denselora.errors import UserError
from denselora.training import device
from denselora.training.device import FOREIGN, check_environment, start_accelerator
from denselora.training.job import Job
from denselora.training.plan import empty_model
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["trainer.optimizer=adamw_8bit"], "trainer.optimizer=adamw_8bit has no sharded states"),
        (["quantization=int8"], "quantization=int8 has weights that can't be sharded"),
        (
            ["adapter=unilora", "adapter.theta_d_length=99"],
            "adapter=unilora shares trained weights among blocks",
        ),
        (["adapter=lily", "adapter.r=2"], "adapter=lily shares trained weights among blocks"),
        ([], None),
        (["adapter=lora", "adapter.r=2"], None),
        (["adapter=full"], None),
    ],
)
def test_what_fsdp2_cannot_shard_is_refused_before_the_work(inputs, tmp_path, options, said):
    job = Job.from_config(train_config(inputs, f"output_dir={tmp_path}", *options))
    model = empty_model(job, steps=4)
    device.check_sharding(SimpleNamespace(is_fsdp2=False), model, job)
    sharding = SimpleNamespace(is_fsdp2=True)
    if said is None:
        device.check_sharding(sharding, model, job)
        return
    with pytest.raises(UserError, match=said):
        device.check_sharding(sharding, model, job)


def test_sharded_weights_are_computed_in_as_autocast_says_and_not_rounded_by_fsdp(
    inputs, tmp_path, monkeypatch
):
    plugin = SimpleNamespace(mixed_precision_policy="Accelerate's")
    sharding = SimpleNamespace(is_fsdp2=True, state=SimpleNamespace(fsdp_plugin=plugin))
    monkeypatch.setattr(device, "Accelerator", lambda **_: sharding)
    job = Job.from_config(train_config(inputs, f"output_dir={tmp_path}"))
    assert start_accelerator(job)[0] is sharding
    assert plugin.mixed_precision_policy == MixedPrecisionPolicy()
