import threading

import pytest

from denselora.reproduce.gpu import one_gpu


@pytest.fixture(autouse=True)
def _own_locks(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


def test_runs_side_by_side_get_a_gpu_each(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    with one_gpu() as first, one_gpu() as second:
        given = {first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]}
    assert given == {"2", "5"}
    with one_gpu() as again:
        assert again["CUDA_VISIBLE_DEVICES"] == "2"


def test_a_run_too_many_waits_for_a_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    got = []

    def third():
        with one_gpu() as environment:
            got.append(environment)

    with one_gpu() as first, one_gpu() as second:
        thread = threading.Thread(target=third)
        thread.start()
        thread.join(timeout=0.2)
        assert not got
    thread.join(timeout=5)
    assert got[0] in (first, second)


@pytest.mark.parametrize("first", [0, 1])
def test_a_waiting_run_takes_whichever_gpu_is_free_first(monkeypatch, first):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    got, held = [], [one_gpu(), one_gpu()]

    def third():
        with one_gpu() as environment:
            got.append(environment)

    given = [claim.__enter__() for claim in held]
    thread = threading.Thread(target=third)
    thread.start()
    held[first].__exit__(None, None, None)
    thread.join(timeout=10)
    held[1 - first].__exit__(None, None, None)
    assert got == [given[first]]


@pytest.mark.parametrize("visible", ["3", ""])
def test_where_one_gpu_or_none_is_visible_nothing_is_chosen(monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with one_gpu() as environment, one_gpu() as another:
        assert environment == another == {}


def test_the_one_gpu_that_a_run_was_given_is_no_other_runs_choice(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with one_gpu():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 1")
        with one_gpu() as chosen:
            assert chosen == {"CUDA_VISIBLE_DEVICES": "1"}
