"""A warm interpreter: it has imported what is slow to import, and forks for each case."""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import ROOT

SECONDS = 60  # what a case may take before it counts as hanging


class Interpreter:
    """Runs scripts in processes of their own, one after another; ends with `close`."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        output: Path,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """Run a script in a folder: (exit code, stdout, stderr).

        command: its name and options. output: a folder for the texts. A negative code is a signal,
        -14 after SECONDS.
        """
        streams = [str(output / name) for name in ("stdin", "stdout", "stderr")]
        (output / "stdin").write_bytes(stdin)
        request = [command, str(folder), streams, dict(environment or {})]
        print(json.dumps(request), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        return code, *(Path(stream).read_text(errors="replace") for stream in streams[1:])

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def _serve() -> None:
    # what reproduce.py's server imports, but not with its signals, and what the other scripts do
    from hydra._internal.hydra import Hydra
    from hydra.types import RunMode

    import denselora.command_line.entry_point
    import denselora.evaluation.ask
    import denselora.evaluation.run
    import denselora.reproduce.announce
    import denselora.results.report.page
    import denselora.training.run  # noqa: F401
    from denselora.command_line.configs import composed

    # composes a script's config only to find this in it, and passes over any error
    Hydra.get_mode = lambda _, config_name, overrides: (
        RunMode.MULTIRUN if config_name == "reproduce" else None
    )
    for script in ("train", "evaluate", "reproduce"):
        composed(script)  # Hydra looks for plugins and builds its parsers, once for all
    gc.collect()
    gc.freeze()  # what is there stays: no collection in a fork looks at it again

    for line in sys.stdin:
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            _run(*json.loads(line))


def _run(
    command: Sequence[str], folder: str, streams: Sequence[str], environment: Mapping[str, str]
) -> None:
    os.setsid()
    signal.alarm(SECONDS)
    for number, (stream, flags) in enumerate(
        zip(streams, (os.O_RDONLY, *2 * [os.O_WRONLY | os.O_CREAT | os.O_TRUNC]), strict=True)
    ):
        os.dup2(os.open(stream, flags, 0o644), number)
    sys.stdin = os.fdopen(0)  # without what the parent has read ahead
    os.chdir(folder)
    os.environ.update(environment)
    script = ROOT / "scripts" / f"{command[0]}.py"
    sys.argv = [str(script), *command[1:]]
    code = 1
    try:
        runpy.run_path(str(script), run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
