"""Tiny models, built at random on the CPU: no download, no GPU."""

import multiprocessing
import os
import runpy
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from peft import PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from denselora import DenseLoraConfig
from tests import ROOT
from tests.tiny import write_data, write_model

# Narrow and grouped-query, so that q_proj, k_proj, up_proj and down_proj all differ in shape.
TINY = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]


def tiny_llama(seed: int = 0, **overrides) -> LlamaForCausalLM:
    """A two-layer LLaMA with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**{**TINY, **overrides})).eval()


def denselora_config(**overrides) -> DenseLoraConfig:
    """r = 4 on the paper's five module types, dropout off so that outputs are repeatable."""
    return DenseLoraConfig(
        **{"r": 4, "target_modules": TARGETS, "denselora_dropout": 0.0, **overrides}
    )


def adapted_llama(seed: int = 0, **overrides) -> PeftModel:
    """A tiny LLaMA under an adapter that changes its output: D, too, is drawn at random."""
    return get_peft_model(
        tiny_llama(seed), denselora_config(**{"init_weights": False, **overrides})
    ).eval()


def train(model: torch.nn.Module, tokens: torch.Tensor, steps: int = 2) -> None:
    """A few large steps of AdamW on the tokens as their own labels; leaves the model in eval."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    for _ in range(steps):
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def run_processes(worker: Callable, count: int, *args) -> None:
    """Run ``worker(rank, *args)`` in ``count`` gloo processes; a failure in one fails the test.

    ``worker`` is a function at the top level of a test module. The processes fork from a server
    that has imported what is slow to import, once for all tests.
    """
    multiprocessing.set_forkserver_preload(["tests.conftest"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.start_processes(
        _process, (worker, count, port, args), nprocs=count, start_method="forkserver"
    )


def _process(rank: int, worker: Callable, count: int, port: int, args: tuple) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    try:
        worker(rank, *args)
    finally:
        dist.destroy_process_group()


@pytest.fixture
def llama() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture
def tokens() -> torch.Tensor:
    """Token ids [batch 2, sequence 8]."""
    return torch.randint(0, TINY["vocab_size"], (2, 8), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A LLaMA folder with a tokenizer, random weights."""
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    """A training file and eight small benchmarks."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def script(monkeypatch, capfd):
    """Runs a script as from the command line: (name, *arguments) → (exit code, stdout, stderr)."""

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, arguments)])
        capfd.readouterr()
        try:
            runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capfd.readouterr()

    return run
