"""Imported by the server that scripts fork from: what takes them seconds to import.

It ignores signals. One that is sent to a whole group of processes is for the scripts, and without
the server nobody would learn how they ended.
"""

import signal

import denselora.command_line.entry_point
import denselora.evaluation.run
import denselora.training.run  # noqa: F401
from denselora.reproduce.script import SIGNALS

for number in SIGNALS:
    signal.signal(number, signal.SIG_IGN)
