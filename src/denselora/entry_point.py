"""How a script starts: Hydra composes its config, and a user's mistake ends it in one line."""

import functools
import os
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import denselora.configs  # noqa: F401  (what the configs are resolved with)
from denselora.errors import UserError
from denselora.screen import leave_out_noise
from denselora.threads import wait_passively

leave_out_noise()  # here, for the processes that a sweep's launcher starts import this as well

# 128 + SIGINT, as shells have it
INTERRUPTED = 130


def entry_point(config_name: str, sweeps: bool = False) -> Callable:
    """Decorate a script's `main(cfg)`: exit code 2 and one line on stderr for a user's mistake.

    sweeps: take lists of values without --multirun.
    """

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(main)
        def run() -> None:
            wait_passively()
            # Hydra then raises instead of printing and exiting with 1
            os.environ["HYDRA_FULL_ERROR"] = "1"
            if sweeps and not any(argument.startswith("-") for argument in sys.argv[1:]):
                # where a name is misspelt Hydra doesn't get as far as hydra.mode in the config: its
                # message would be about the lists
                sys.argv.append("--multirun")
            composed = hydra.main(
                version_base="1.3", config_path="../configs", config_name=config_name
            )
            with errors_in_one_line():  # Hydra's own
                composed(_task(main))()

        return run

    return decorate


def _task(main: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """main, whose errors end the process before Hydra adds to them; not in a sweep, where the other
    runs go on.
    """

    @functools.wraps(main)
    def task(cfg: DictConfig):
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return main(cfg)
        with errors_in_one_line():
            return main(cfg)

    return task


@contextmanager
def errors_in_one_line():
    """End the process with a line on stderr and an exit code on a UserError, one of Hydra's, a file
    that the system refuses, or Ctrl-C.
    """
    try:
        yield
    except UserError as error:
        _stop(str(error), error.exit_code)
    except (HydraException, OmegaConfBaseException) as error:
        message = re.sub(r"\s*\n\s*", "; ", str(error.__cause__ or error).strip())
        if isinstance(error, MissingConfigException) and "'hydra/" in message:
            message = f"pip install -e '.[sweeps]', for Ray see docs/sweeps.md: {message}"
        _stop(message)
    except OSError as error:
        if error.filename is None:
            raise
        _stop(f"{error.filename}: {error.strerror}; fix that and run again")
    except KeyboardInterrupt as error:
        message = str(error) or "interrupted; what is done is kept, run the same command again"
        print(f"\n{message}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _stop(message: str, code: int = 2) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
