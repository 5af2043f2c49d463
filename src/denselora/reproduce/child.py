"""A script that ends with the process that started it: python -m denselora.reproduce.child SCRIPT.

Whoever takes a run away, as a cluster does with a node, may kill the process that leads it and
nothing else. A training that went on without it would keep the run from going on elsewhere.
"""

import os
import runpy
import signal
import sys
import threading
import time


def end_with_parent() -> None:
    """Send this process SIGTERM, by which a training saves itself, once its parent has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
