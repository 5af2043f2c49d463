"""train(cfg): what it leaves behind, resuming, faults."""

import json
import math
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from denselora.adapter import layer
from denselora.adapter.fused import choice
from denselora.errors import UserError
from denselora.lock import LOCK, locked
from denselora.results.change import read_change
from denselora.results.record import Training
from denselora.training import loop as loop_module
from denselora.training import run as run_module
from denselora.training.health import Diverged
from denselora.training.loop import Loop
from denselora.training.run import train
from denselora.training.run_folder import RunFolder
from denselora.training.signals import STOPPED, Stopped
from tests.training.inputs import train_config


def adapter_bytes(run: Path) -> bytes:
    return (run / "adapter/adapter_model.safetensors").read_bytes()


def metrics(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def training(run: Path) -> Training:
    return RunFolder(run).trained().training


@pytest.fixture(scope="module")
def whole_run(inputs, tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(train_config(inputs, f"output_dir={run}"))
    return run


@pytest.fixture
def start(inputs, tmp_path):
    """Train into tmp_path/run with further overrides; returns the run folder."""

    def start(*overrides: str) -> Path:
        run = tmp_path / "run"
        train(train_config(inputs, f"output_dir={run}", *overrides))
        return run

    return start


def at_step(monkeypatch, step: int, act) -> None:
    """Call `act` when the metrics of the step have been written."""
    log = RunFolder.log

    def log_and_act(self, line):
        log(self, line)
        if line["step"] == step:
            act()

    monkeypatch.setattr(RunFolder, "log", log_and_act)


def test_metrics_have_a_line_per_step(whole_run):
    lines = metrics(whole_run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [i for i, line in enumerate(lines, 1) if "validation_loss_nats" in line] == [2, 4, 6]
    assert lines[-1]["loss_nats"] < lines[0]["loss_nats"]
    assert lines[1]["learning_rate"] == 0.02


def test_adapter_folder_holds_peft_files_and_figures_of_a_record(whole_run):
    figures = training(whole_run)
    assert (figures.steps, figures.checkpoint_step, figures.skipped_steps) == (6, 6, 0)
    assert figures.tokens == metrics(whole_run)[-1]["tokens"]
    assert figures.collapsed is None
    assert (whole_run / "adapter/adapter_config.json").is_file()
    assert not (whole_run / "adapter/state.pt").exists()


def test_old_checkpoints_are_pruned(whole_run):
    kept = sorted(path.name for path in (whole_run / "checkpoints").iterdir())
    assert kept == ["step-000004", "step-000006"]


def test_resolved_config_is_saved_before_step_one(start, monkeypatch, tmp_path):
    class Reached(Exception):
        pass

    def check(self):
        saved = OmegaConf.load(tmp_path / "run/config.yaml")
        assert saved.seed_init == 42 and saved.adapter.alpha == 32
        assert "${" not in (tmp_path / "run/config.yaml").read_text()
        raise Reached

    monkeypatch.setattr(Loop, "run", check)
    with pytest.raises(Reached):
        start()


def test_existing_run_is_refused(whole_run, inputs):
    before = (whole_run / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="resume=true"):
        train(train_config(inputs, f"output_dir={whole_run}"))
    with pytest.raises(UserError, match=r"differs in trainer\.learning_rate"):
        train(
            train_config(
                inputs, f"output_dir={whole_run}", "resume=true", "trainer.learning_rate=1"
            )
        )
    assert (whole_run / "metrics.jsonl").read_bytes() == before


def test_a_run_that_another_process_writes_is_refused_until_that_ends(start, tmp_path):
    run = tmp_path / "run"
    message = r"output_dir=.*run: process \d+ on .* writes to it"
    with locked(run, "output_dir"), pytest.raises(UserError, match=message):
        start("resume=true")
    start("trainer.max_steps=1")
    assert not (run / LOCK).exists()


def test_the_run_s_folder_is_locked_to_its_end(start, monkeypatch, tmp_path):
    held, real = [], RunFolder.finish
    monkeypatch.setattr(
        RunFolder,
        "finish",
        lambda *given: held.append((tmp_path / "run" / LOCK).exists()) or real(*given),
    )
    start("trainer.max_steps=1")
    assert held == [True]


@pytest.fixture
def own_inputs(inputs, tmp_path, monkeypatch) -> Path:
    """A copy of the inputs; a run in tmp_path/run was stopped on them after its third step."""
    copy = shutil.copytree(inputs / "base", tmp_path / "inputs/base").parent
    shutil.copytree(inputs / "data", copy / "data")
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped):
            train(train_config(copy, f"output_dir={tmp_path / 'run'}"))
    return copy


def resume(own_inputs: Path) -> Path:
    run = own_inputs.parent / "run"
    train(train_config(own_inputs, f"output_dir={run}", "resume=true"))
    return run


def test_a_run_whose_training_file_has_changed_is_not_continued(own_inputs):
    file = own_inputs / "data/train.json"
    rows = json.loads(file.read_text())
    rows[9]["output"] = "the correct answer is true even"
    file.write_text(json.dumps(rows))
    before = metrics(own_inputs.parent / "run")
    with pytest.raises(UserError, match=r"train\.json: the rows, .* changed since .*step-000003"):
        resume(own_inputs)
    assert metrics(own_inputs.parent / "run") == before


def test_a_run_whose_base_has_changed_is_not_continued(own_inputs):
    file = own_inputs / "base/model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] += 0.01
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model\.path=.*: the weights have changed since .*000003"):
        resume(own_inputs)


def test_a_run_is_not_continued_in_another_precision(own_inputs):
    state = own_inputs.parent / "run/checkpoints/step-000003/state.pt"
    saved = torch.load(state)
    saved["inputs"]["precision"] = "bf16"
    torch.save(saved, state)
    with pytest.raises(UserError, match=r"precision=auto: was bf16 up to .*000003 and is fp32 on"):
        resume(own_inputs)


DAMAGE = {
    "state.pt": lambda file: file.write_bytes(file.read_bytes()[:-200]),
    "adapter_model.safetensors": lambda file: file.write_bytes(b"<html>"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_newest_checkpoint_is_named_and_the_older_one_continued(
    own_inputs, whole_run, capsys, name
):
    checkpoints = own_inputs.parent / "run/checkpoints"
    DAMAGE[name](checkpoints / "step-000003" / name)
    run = resume(own_inputs)
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if "going on from" in line]
    assert f"step-000003/{name}: " in line and line.endswith("/step-000002")
    assert "continuing after step 2" in shown
    assert adapter_bytes(run) == adapter_bytes(whole_run) and metrics(run) == metrics(whole_run)
    assert (checkpoints / "step-000003.damaged").is_dir()


def test_a_state_that_does_not_fit_the_run_is_one_line(own_inputs):
    file = own_inputs.parent / "run/checkpoints/step-000003/state.pt"
    state = torch.load(file)
    state["optimizer"]["param_groups"] = []
    torch.save(state, file)
    with pytest.raises(UserError, match=r"step-000003: its state doesn't fit the run .*; restore"):
        resume(own_inputs)


def test_a_checkpoint_of_an_earlier_version_without_inputs_is_continued(own_inputs, whole_run):
    state = own_inputs.parent / "run/checkpoints/step-000003/state.pt"
    saved = torch.load(state)
    assert saved.pop("inputs").keys() == {"rows", "base", "precision"}
    torch.save(saved, state)
    assert adapter_bytes(resume(own_inputs)) == adapter_bytes(whole_run)


def test_finished_run_is_left_alone_on_resume(whole_run, inputs, monkeypatch):
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained again"))
    found = train(train_config(inputs, f"output_dir={whole_run}", "resume=true"))
    assert found == whole_run / "adapter"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signalled_and_resumed_equals_never_stopped(start, whole_run, monkeypatch, sent, tmp_path):
    at_step(monkeypatch, 3, lambda: os.kill(os.getpid(), sent))
    with pytest.raises(Stopped) as stopped:
        start()
    assert stopped.value.code == STOPPED == 75
    assert (tmp_path / "run/checkpoints/step-000003/state.pt").is_file()
    monkeypatch.undo()
    run = start("resume=true")
    assert adapter_bytes(run) == adapter_bytes(whole_run)
    assert metrics(run) == metrics(whole_run)


def test_one_seed_gives_one_adapter(start, whole_run):
    run = start("deterministic=true")
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    assert adapter_bytes(run) == adapter_bytes(whole_run)


def test_seed_init_leaves_the_data_alone(start, whole_run):
    run = start("seed_init=7", "trainer.max_steps=1")
    assert metrics(run)[0]["tokens"] == metrics(whole_run)[0]["tokens"]
    assert metrics(run)[0]["grad_norm"] != metrics(whole_run)[0]["grad_norm"]


def test_seed_data_leaves_the_initialisation_alone(start, monkeypatch, tmp_path):
    starts, real = [], run_module.matrices
    monkeypatch.setattr(run_module, "matrices", lambda model: starts.append(real(model)) or {})
    one = metrics(start("trainer.max_steps=1"))
    (tmp_path / "run").rename(tmp_path / "one")
    other = metrics(start("trainer.max_steps=1", "seed_data=7"))
    assert one[0]["loss_nats"] != other[0]["loss_nats"]
    assert starts[0] and all((starts[0][name] == starts[1][name]).all() for name in starts[0])


def test_best_checkpoint_is_the_one_of_least_validation_loss(start, monkeypatch):
    losses = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(Loop, "validate", lambda self: next(losses))
    run = start("trainer.checkpoint=best", "trainer.save_steps=100", "trainer.keep_checkpoints=1")
    assert training(run).checkpoint_step == 4
    (of_best,) = [row["validation_loss_nats"] for row in metrics(run) if row["step"] == 4]
    assert training(run).validation_loss_nats == of_best
    best = run / "checkpoints/step-000004/adapter_model.safetensors"
    assert adapter_bytes(run) == best.read_bytes()


def test_a_best_checkpoint_that_is_gone_is_named_before_the_run_goes_on(start, monkeypatch):
    losses = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(Loop, "validate", lambda self: next(losses))
    run = start("trainer.checkpoint=best", "trainer.save_steps=1", "trainer.keep_checkpoints=9")
    shutil.rmtree(run / "adapter")
    (best,) = [row["step"] for row in metrics(run) if row.get("validation_loss_nats") == 1.0]
    shutil.rmtree(run / f"checkpoints/step-{best:06d}")
    with pytest.raises(UserError, match=rf"step-{best:06d}: the best checkpoint so far is gone"):
        start(
            "trainer.checkpoint=best",
            "trainer.save_steps=1",
            "trainer.keep_checkpoints=9",
            "resume=true",
        )


def poisoned(monkeypatch, bad) -> None:
    """Make the loss NaN in the forward passes for which `bad(number)`, counted from 1."""
    real, calls = loop_module.weighted_loss, iter(range(1, 1000))
    monkeypatch.setattr(
        loop_module,
        "weighted_loss",
        lambda *inputs: real(*inputs) * (math.nan if bad(next(calls)) else 1),
    )


def test_a_step_without_finite_loss_is_left_out_and_reported(start, monkeypatch, capsys):
    poisoned(monkeypatch, lambda number: number == 2)
    run = start("trainer.validation_rows=0")
    line = metrics(run)[1]
    assert line["loss_nats"] is None and line["skipped"] == "loss is nan"
    assert training(run).skipped_steps == 1 and training(run).collapsed is None
    assert "step 2: left out, loss is nan" in capsys.readouterr().out
    weights = load_file(run / "adapter/adapter_model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_non_finite_steps_in_a_row_end_the_run(start, monkeypatch, tmp_path):
    poisoned(monkeypatch, lambda number: number > 3)  # from step 4 on
    with pytest.raises(Diverged, match=r"step 6: .*last good checkpoint is .*step-000002") as end:
        start("trainer.validation_rows=0", "trainer.max_skipped_steps=3")
    assert end.value.exit_code == 1
    figures = training(tmp_path / "run")
    assert "step 6" in figures.collapsed and "step-000002" in figures.collapsed
    assert not (tmp_path / "run/adapter").exists()
    assert figures.skipped_steps == 3


def test_a_run_whose_steps_were_all_left_out_gives_no_adapter(start, monkeypatch, tmp_path):
    poisoned(monkeypatch, lambda number: True)
    with pytest.raises(Diverged, match="step 6: loss is nan, as in all steps"):
        start("trainer.validation_rows=0")
    assert training(tmp_path / "run").skipped_steps == 6
    assert not (tmp_path / "run/adapter").exists()


def destroyed(monkeypatch, step: int, value: float) -> None:
    """Fill the trained weights with a value in the update of a step."""
    real = Loop._update

    def update(self, loss):
        metrics = real(self, loss)
        if self.state.progress.step == step - 1:
            for parameter in self.state.model.parameters():
                if parameter.requires_grad:
                    parameter.data.fill_(value)
        return metrics

    monkeypatch.setattr(Loop, "_update", update)


def kept(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


@pytest.mark.parametrize("rows", [0, 4])
def test_the_last_good_checkpoint_is_the_one_before_the_weights_broke(
    start, monkeypatch, tmp_path, rows
):
    """Finite weights that give no finite loss, at a step that is saved: it prunes nothing."""
    destroyed(monkeypatch, 4, 1e30)
    options = ("trainer.epochs=2", "trainer.max_steps=10", "trainer.keep_checkpoints=1")
    options += ("trainer.max_skipped_steps=4",)
    with pytest.raises(Diverged, match=r"step 8: .*last good checkpoint is .*step-000002"):
        start(*options, f"trainer.validation_rows={rows}")
    assert kept(tmp_path / "run") == ["step-000002", "step-000004"]


def test_weights_that_are_not_finite_are_not_saved(start, monkeypatch, tmp_path):
    destroyed(monkeypatch, 4, math.nan)
    message = r"step 4: the trained weights are not finite; the last good .*step-000002"
    with pytest.raises(Diverged, match=message):
        start("trainer.validation_rows=0")
    assert kept(tmp_path / "run") == ["step-000002"]


@pytest.mark.parametrize(
    ("value", "rows", "reason"),
    [
        (math.nan, 0, "the trained weights are not finite"),
        (math.nan, 4, "the trained weights are not finite"),
        (1e30, 0, "the loss after it is nan"),
        (1e30, 4, "the loss after it is nan"),
    ],
)
def test_a_last_update_that_breaks_the_weights_ends_without_an_adapter(
    start, monkeypatch, tmp_path, value, rows, reason
):
    destroyed(monkeypatch, 6, value)
    with pytest.raises(Diverged, match=rf"step 6: {reason}; the last good .*step-000004"):
        start(f"trainer.validation_rows={rows}", "trainer.keep_checkpoints=1")
    assert not (tmp_path / "run/adapter").exists()
    assert reason in training(tmp_path / "run").collapsed
    assert kept(tmp_path / "run") == ["step-000002", "step-000004"]  # 4 when it wasn't yet good


def test_a_last_update_that_breaks_the_weights_leaves_the_best_checkpoint_the_result(
    start, monkeypatch
):
    destroyed(monkeypatch, 6, math.nan)
    run = start("trainer.checkpoint=best")
    assert training(run).checkpoint_step < 6
    assert training(run).collapsed == "step 6: validation loss is not finite"
    weights = load_file(run / "adapter/adapter_model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_a_last_batch_without_finite_loss_does_not_cost_the_adapter(start, monkeypatch):
    poisoned(monkeypatch, lambda number: number == 6)
    run = start("trainer.validation_rows=0")
    assert training(run).collapsed == "step 6: loss is nan"


def test_where_no_good_step_was_validated_the_best_is_the_last(start, monkeypatch):
    poisoned(monkeypatch, lambda number: number == 6)
    run = start("trainer.checkpoint=best", "trainer.eval_steps=10")
    assert training(run).collapsed == "step 6: loss is nan"


def test_out_of_memory_halves_the_passes_and_keeps_the_batch(start, monkeypatch, tmp_path):
    options = ("adapter.dropout=0", "trainer.max_steps=2")
    plain = metrics(start(*options))
    (tmp_path / "run").rename(tmp_path / "plain")
    real = loop_module.weighted_loss

    def weighted_loss(model, batch, head):
        if model.training and len(batch.lengths) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return real(model, batch, head)

    monkeypatch.setattr(loop_module, "weighted_loss", weighted_loss)
    run = start(*options)
    assert 0 < training(run).pass_tokens < 50  # no two rows fit
    for one, other in zip(metrics(run), plain, strict=True):
        assert one["loss_nats"] == pytest.approx(other["loss_nats"], abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
        assert one["tokens"] == other["tokens"]


def test_out_of_memory_in_validation_spreads_its_rows_over_more_passes(
    start, monkeypatch, tmp_path
):
    options = ("trainer.max_steps=2", "trainer.validation_rows=4")
    plain = metrics(start(*options))
    (tmp_path / "run").rename(tmp_path / "plain")
    real = loop_module.weighted_loss

    def weighted_loss(model, batch, head):
        if not model.training and len(batch.lengths) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return real(model, batch, head)

    monkeypatch.setattr(loop_module, "weighted_loss", weighted_loss)
    most = 1
    found = metrics(start(*options))[-1]["validation_loss_nats"]
    assert found == pytest.approx(plain[-1]["validation_loss_nats"], abs=1e-6)
    (tmp_path / "run").rename(tmp_path / "one by one")
    most = 0
    with pytest.raises(UserError, match=r"after step 2, .*out of memory.*resume=true"):
        start(*options)


def test_a_model_that_would_mix_rows_gets_them_one_by_one(start, monkeypatch, capsys):
    monkeypatch.setattr("denselora.training.run.keep_rows_apart", lambda model: False)
    loss, rows = loop_module.weighted_loss, []

    def weighted_loss(model, batch, head):
        rows.append(len(batch.lengths))
        return loss(model, batch, head)

    monkeypatch.setattr(loop_module, "weighted_loss", weighted_loss)
    start("trainer.max_steps=1")
    assert set(rows) == {1}
    assert "each row gets a pass of its own" in capsys.readouterr().out


def test_out_of_memory_with_one_row_is_one_line(start, monkeypatch):
    def weighted_loss(model, batch, head):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    monkeypatch.setattr(loop_module, "weighted_loss", weighted_loss)
    with pytest.raises(UserError, match=r"step 1: out of memory.*trainer\.pass_tokens=4096"):
        start()


@pytest.mark.parametrize("tracker", ["wandb", "tensorboard"])
def test_trackers_write_offline(start, tracker, monkeypatch, tmp_path):
    pytest.importorskip(tracker)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    run = start(f"tracker={tracker}", "trainer.max_steps=2")
    assert len(metrics(run)) == 2
    pattern = "wandb/offline-run-*/*.wandb" if tracker == "wandb" else "run/denselora/events*"
    assert list(tmp_path.glob(pattern))


def test_wandb_groups_runs_by_experiment(inputs, script, monkeypatch, tmp_path):
    started = {}
    monkeypatch.setattr("denselora.training.job.check_wandb", lambda: None)
    monkeypatch.setattr(Accelerator, "init_trackers", lambda *given: started.update(given[3]))
    options = [f"model.path={inputs / 'base'}", "data=local", f"data.path={inputs / 'data'}"]
    options += ["trainer.validation_rows=4", "trainer.max_steps=1", "trainer.global_batch_size=4"]
    options += ["adapter.r=4"]
    code, _, err = script(
        "train", *options, "tracker=wandb", "experiment=table1/lora_r32", f"output_dir={tmp_path}"
    )
    assert code == 0, err
    assert started["wandb"]["group"] == "table1/lora_r32"


def test_absent_tracker_is_one_line_before_anything_is_written(start, monkeypatch, tmp_path):
    monkeypatch.setattr("denselora.training.job.TRACKERS", {"wandb": lambda: False})
    with pytest.raises(UserError, match="pip install wandb"):
        start("tracker=wandb")
    assert not (tmp_path / "run").exists()


def test_dry_run_prints_the_plan_and_writes_nothing(start, tmp_path, capsys):
    start("trainer.max_steps=0", "trainer.epochs=2")
    shown = capsys.readouterr().out
    assert "12 steps of 4 rows (2 × 2 × 1 processes)" in shown
    assert "GiB a device" in shown and "tokens" in shown
    assert re.search(r"run \S+: CPU \(\d+ threads?\), fp32\n", shown)
    assert "only rises" not in shown
    start("trainer.max_steps=0", "trainer.epochs=2", "trainer.warmup_steps=12")
    assert "only rises: trainer.warmup_steps=12 of 12 steps" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_a_head_of_its_own_is_trained_beside_a_tied_base(start, capsys):
    options = ("adapter.r=4", "+adapter.peft.modules_to_save=[lm_head]", "trainer.max_steps=2")
    run = start(*options)
    counted = capsys.readouterr().out
    trained = load_file(run / "adapter" / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in trained.values()) == trainable(counted)
    start(*options[:2], "trainer.max_steps=0")
    assert trainable(capsys.readouterr().out) == trainable(counted)


def trainable(shown: str) -> int:
    """The trained parameters that a run says it has."""
    return int(re.search(r"([\d,]+) trainable", shown)[1].replace(",", ""))


def test_a_checkpoint_that_lacks_tensors_is_not_continued(start, tmp_path):
    start("adapter=lora", "adapter.r=4", "trainer.max_steps=2")
    shutil.rmtree(tmp_path / "run" / "adapter")
    file = tmp_path / "run" / "checkpoints" / "step-000002" / "adapter_model.safetensors"
    weights = load_file(file)
    name = sorted(weights)[0]
    del weights[name]
    save_file(weights, file, metadata={"format": "pt"})
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError) as told:
        start("adapter=lora", "adapter.r=4", "trainer.max_steps=2", "resume=true")
    assert f"missing: {name}" in str(told.value) and str(file.parent) in str(told.value)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_gradient_checkpointing_trains(start):
    run = start("trainer.gradient_checkpointing=true")
    assert metrics(run)[-1]["loss_nats"] < metrics(run)[0]["loss_nats"]


def test_without_the_operator_the_equation_in_layer_py_is_trained(start, monkeypatch):
    steps, plain = [], layer.denselora_delta

    def noted(*args):
        steps.append(args)
        return plain(*args)

    monkeypatch.setattr(layer, "denselora_delta", noted)
    run = start("trainer.fused=never", "trainer.max_steps=1", "adapter=denselora")
    assert steps
    assert "fused: never" in (run / "config.yaml").read_text()
    assert choice._mode == "auto"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.fused=yes", "use one of auto, always, never"),
        ("trainer.global_batch_size=5", r"=5 .*micro_batch_size=2 × 1 processes"),
        ("trainer.validation_rows=28", "leaves nothing to train on"),
        ("quantization=int3", "nf4, int8"),
        ("trainer.precision=fp16", "needs a GPU"),
        ("trainer.optimizer=adamw_8bit", "needs a GPU"),
        ("adapter=none", "nothing to train"),
        ("data.train_file=missing.json", "no such file"),
        ("+trainer.speed=1", r"trainer\.speed: there is no such option"),
    ],
)
def test_a_mistake_is_reported_and_nothing_written(start, override, message, tmp_path):
    if override == "trainer.precision=fp16" and torch.cuda.is_available():
        pytest.skip("needs a machine without GPU")
    with pytest.raises(UserError, match=message):
        start(override)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options",
    [
        *(("lora",), ("dora",), ("vera",), ("lokr",), ("adalora",), ("hira",), ("psoft",)),
        *(
            ("miss",),
            ("peanut",),
            ("lily",),
            ("randlora",),
            ("unilora", "adapter.theta_d_length=99"),
        ),
        *(("ia3",), ("road",), ("c3a", "adapter.block_size=8")),
        ("lora", "adapter.b_learning_rate_ratio=4"),
        ("denselora", "adapter.core_learning_rate_ratio=0.25"),
    ],
    ids=" ".join,
)
def test_every_method_stopped_and_continued_ends_as_if_it_never_was(
    inputs, tmp_path, monkeypatch, options
):
    """AdaLoRA's importance scores and pattern, too, are in the checkpoint."""
    rank = () if options[0] in ("ia3", "road", "c3a") else ("adapter.r=4",)
    options = (f"adapter={options[0]}", *options[1:], *rank)
    whole = tmp_path / "whole"
    train(train_config(inputs, f"output_dir={whole}", *options))
    assert metrics(whole)[-1]["loss_nats"] != metrics(whole)[0]["loss_nats"]
    run = f"output_dir={tmp_path / 'run'}"
    at_step(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped):
        train(train_config(inputs, run, *options))
    monkeypatch.undo()
    train(train_config(inputs, run, "resume=true", *options))
    assert adapter_bytes(tmp_path / "run") == adapter_bytes(whole)
    assert metrics(tmp_path / "run") == metrics(whole)


def test_adalora_prunes_to_r_in_the_mean(inputs, tmp_path):
    train(train_config(inputs, f"output_dir={tmp_path}/run", "adapter=adalora", "adapter.r=4"))
    weights = load_file(tmp_path / "run/adapter/adapter_model.safetensors")
    values = torch.cat([w.flatten() for key, w in weights.items() if "lora_E" in key])
    assert len(values) == 6 * 10  # 1.5 r, five modules in two layers
    assert (values != 0).sum() == 4 * 10


@pytest.mark.parametrize(
    ("adapter", "names", "from_zero"),
    [
        ("denselora", {"M.1.q_proj", "E.v_proj", "D.v_proj"}, ("D.v_proj", "decoder.v_proj")),
        ("lora", {"A.0.k_proj", "B.1.up_proj"}, ("B.1.up_proj", "1.mlp.up_proj.lora_B")),
    ],
)
def test_how_far_each_matrix_moved_is_written_also_after_a_stop(
    inputs, tmp_path, monkeypatch, adapter, names, from_zero
):
    options = (f"output_dir={tmp_path / 'run'}", f"adapter={adapter}", "adapter.r=4")
    at_step(monkeypatch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped):
        train(train_config(inputs, *options))
    monkeypatch.undo()
    train(train_config(inputs, *options, "resume=true"))
    changes = read_change(tmp_path / "run/change.npz")
    assert names <= changes.keys()
    assert all(0 < values.max() < 0.2 for values in changes.values())  # 6 steps of 0.02
    weights = load_file(tmp_path / "run/adapter/adapter_model.safetensors")
    name, part = from_zero
    (end,) = [weight for key, weight in weights.items() if part in key]
    torch.testing.assert_close(torch.tensor(changes[name]), end.abs(), atol=1e-4, rtol=1e-3)
