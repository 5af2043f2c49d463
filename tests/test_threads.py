import os

import loky
import pytest
import torch

from denselora.threads import SMALL, use_threads, wait_passively


@pytest.fixture(autouse=True)
def _threads_as_before(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_small_model_takes_one_thread():
    torch.set_num_threads(2)
    use_threads(SMALL - 1)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (64, 2)])
def test_a_large_one_takes_the_cores_that_affinity_and_quota_leave(monkeypatch, cores, threads):
    torch.set_num_threads(2)
    monkeypatch.setattr(loky, "cpu_count", lambda: cores)
    use_threads(SMALL)
    assert torch.get_num_threads() == threads


def test_what_the_user_has_set_stays(monkeypatch):
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    use_threads(1)
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
