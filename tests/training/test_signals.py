import os
import signal
import time

import pytest

from denselora.training import signals
from denselora.training.signals import asked_to_stop


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_is_noted_and_the_handlers_before_come_back(sent):
    before = signal.getsignal(sent)
    with asked_to_stop() as stop:
        assert not stop()
        os.kill(os.getpid(), sent)
        assert stop()
    assert signal.getsignal(sent) is before


def test_a_ctrl_c_that_comes_twice_at_once_is_one(capfd):
    with asked_to_stop() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop()
    assert capfd.readouterr().err.count("it stops after this step") == 1


def test_a_second_ctrl_c_ends_at_once(monkeypatch):
    monkeypatch.setattr(signals, "SAME_S", 0.01)
    with asked_to_stop(), pytest.raises(KeyboardInterrupt, match="last checkpoint"):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
