"""What many tests start from.

Without a GPU, Triton's kernels run in its interpreter: it has to know before it is imported.
"""

import logging
import os
import resource
import runpy
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from transformers import LlamaForCausalLM

from tests import ROOT
from tests.tiny import TINY, tiny_llama, write_data, write_model

# what `make test-quick` leaves out
SLOW = """
adapter/fused/test_gpu adapter/test_architectures adapter/test_convert adapter/test_bases
adapter/test_processes data/test_subset evaluation/ reproduce/ results/report results/test_artifact
results/test_figures results/test_inventory results/test_tables speed/ test_adapters test_bad_input
test_configs test_extending test_loaded test_mini test_package test_whole_way training/test_compiled
training/test_device training/test_kill training/test_multiprocess training/test_run wrong_input
world/
""".split()  # noqa: SIM905


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = tuple(str(ROOT / "tests" / place) for place in SLOW)
    for item in items:
        if str(item.path).startswith(slow):
            item.add_marker(pytest.mark.slow)


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
def full_disk():
    """A context in which no file grows beyond so many bytes."""

    @contextmanager
    def limited(size: int):
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)

    return limited


@pytest.fixture
def script(monkeypatch, capfd):
    """Runs a script as from the command line: (name, *arguments) → (exit code, stdout, stderr)."""

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, arguments)])
        capfd.readouterr()
        handlers = list(logging.root.handlers)
        try:
            runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            logging.root.handlers[:] = handlers  # Hydra's writes to this test's screen
        return code, *capfd.readouterr()

    return run
