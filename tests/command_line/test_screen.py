import subprocess
import sys

from tests import ROOT

NOISE = """
import logging, warnings
import denselora.command_line.entry_point
logging.getLogger("bitsandbytes.backends.cpu.ops").warning("no kernels")
logging.getLogger("denselora").warning("to act on")
warnings.warn("old name", FutureWarning)
warnings.warn("to act on, too", UserWarning)
"""


def test_a_script_shows_warnings_to_act_on_and_no_notes_among_libraries():
    run = subprocess.run(
        [sys.executable, "-c", NOISE], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "no kernels" not in run.stderr and "old name" not in run.stderr
    assert "to act on" in run.stderr and "to act on, too" in run.stderr
