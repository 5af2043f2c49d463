"""What many tests start from.

torch and what needs it is imported where it is used: the process that hands out tests to pytest's
workers reads this file as well, and does without.
"""

import gc
import logging
import os
import resource
import runpy
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import ROOT

# what `make test-quick` leaves out; the longest start first, so that no worker ends alone with one
SLOW = """
wrong_input test_mini reproduce/ adapter/fused/test_gpu training/test_multiprocess test_configs
test_loaded test_extending training/test_kill results/report results/test_figures evaluation/
test_bad_input test_whole_way results/test_tables training/test_compiled adapter/test_processes
test_package adapter/test_convert speed/ world/ test_adapters training/test_run
adapter/test_architectures adapter/test_bases data/test_subset results/test_artifact
results/test_inventory training/test_device
""".split()  # noqa: SIM905


# Without a GPU, Triton's kernels run in its interpreter. It must know before its import, which the
# conftest.py of a folder that is named on the command line may cause.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
if not any(map(os.path.exists, DRIVERS)) or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = [str(ROOT / "tests" / place) for place in SLOW]

    def place(item: pytest.Item) -> int:
        return next(
            (at for at, prefix in enumerate(slow) if str(item.path).startswith(prefix)), len(slow)
        )

    items.sort(key=place)
    for item in items:
        if place(item) < len(slow):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """What is imported stays: no training or decoding that ends need search it for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def llama():
    from tests.tiny import tiny_llama

    return tiny_llama()


@pytest.fixture
def tokens():
    """Token ids [batch 2, sequence 8]."""
    import torch

    from tests.tiny import TINY

    return torch.randint(0, TINY["vocab_size"], (2, 8), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A LLaMA folder with a tokenizer, random weights."""
    from tests.tiny import write_model

    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    """A training file and eight small benchmarks."""
    from tests.tiny import write_data

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
