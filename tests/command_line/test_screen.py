import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("lines", [1, 100_000])  # as much as a buffer holds, and more
def test_a_script_ends_without_a_word_when_nobody_reads_on(lines):
    script = f"""
from denselora.command_line.entry_point import errors_in_one_line
with errors_in_one_line():
    input()
    for _ in range({lines}): print("a line of a long list")
"""
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        os.close(writer)
        os.close(reader)
        _, said = process.communicate("now\n")
    assert (process.returncode, said) == (141, "")
