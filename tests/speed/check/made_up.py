"""Checks that end in each way; a process of its own imports them from here."""

import os
import signal

from denselora.speed.check.finding import Finding


def right(place):
    """Something that is right."""
    print("a remark")
    yield Finding("one", "1", "at most 2", True)
    yield Finding("a rate", "17 | 4")


def wrong(place):
    """Something that is wrong."""
    yield Finding("one", "3", "at most 2", False)


def raises(place):
    """Breaks after its first finding."""
    yield Finding("before", "1")
    raise ValueError("no such kernel\nand more")


def crashes(place):
    """Ends the process."""
    yield Finding("before", "1")
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(place):
    """Never ends, nor does what it starts."""
    yield Finding("before", "1")
    os.system("sleep 60")
