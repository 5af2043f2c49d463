import os
import subprocess
import sys
import time

SCRIPT = """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[1], "asked").touch()
    sys.exit()
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1], "began").touch()
time.sleep(60)
"""
PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "denselora.reproduce.child", *sys.argv[1:]])
"""


def test_a_script_whose_parent_was_killed_is_asked_to_stop(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "script.py", tmp_path], env=os.environ
    )
    wait_for(tmp_path / "began")
    parent.kill()
    parent.wait()
    wait_for(tmp_path / "asked")


def wait_for(file):
    end = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
