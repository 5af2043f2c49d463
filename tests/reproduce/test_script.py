"""Scripts in processes of their own, started either way."""

import os
import signal

import pytest

from denselora.errors import UserError
from denselora.reproduce import script as module
from denselora.reproduce.script import run_script


@pytest.fixture(params=[False, True], ids=["forked", "new"])
def write(request, monkeypatch, tmp_path):
    """Writes a.py for run_script to find."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: request.param)
    monkeypatch.setattr(module, "SCRIPTS", tmp_path)
    return (tmp_path / "a.py").write_text


def test_a_script_gets_its_options_and_the_environment(write, monkeypatch, tmp_path):
    monkeypatch.setenv("BEFORE", "1")
    write(
        "import os, pathlib, sys\n"
        "if __name__ == '__main__':\n"
        "    given = [os.environ['BEFORE'], os.environ['CUDA_VISIBLE_DEVICES'], *sys.argv[1:]]\n"
        f"    pathlib.Path({str(tmp_path / 'given')!r}).write_text(' '.join(given))\n"
    )
    run_script("a.py", "x=1", environment={"CUDA_VISIBLE_DEVICES": "3"})
    assert (tmp_path / "given").read_text() == "1 3 x=1"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("end", ["sys.exit(3)", "os._exit(3)"])
def test_a_script_that_fails_is_a_users_mistake(write, end):
    write(f"import os, sys\n{end}")
    with pytest.raises(UserError, match=r"scripts/a.py ended with exit code 3"):
        run_script("a.py")


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGINT"])
def test_a_signal_reaches_the_script_and_ends_with_75(write, sent):
    write(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        f"os.kill({os.getpid()}, signal.{sent})\n"
        "time.sleep(60)\n"
    )
    before = signal.getsignal(signal.Signals[sent])
    with pytest.raises(SystemExit) as stopped:
        run_script("a.py")
    assert stopped.value.code == 75
    assert signal.getsignal(signal.Signals[sent]) is before


@pytest.mark.parametrize("end", ["sys.exit(130)", "raise KeyboardInterrupt"])
def test_a_script_that_ctrl_c_has_ended_is_stopped(write, end, capfd):
    write(f"import sys\n{end}")
    with pytest.raises(SystemExit) as stopped:
        run_script("a.py")
    assert stopped.value.code == 75
    assert "the same command goes on from here" in capfd.readouterr().out
