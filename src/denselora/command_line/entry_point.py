"""How a script starts: its options are composed and checked, and a mistake ends it in one line."""

import functools
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from denselora.command_line.configs import CONFIGS
from denselora.command_line.options import accepted
from denselora.command_line.overrides import explained, readable
from denselora.command_line.screen import leave_out_noise
from denselora.errors import UserError, first_line
from denselora.readers import read_text
from denselora.threads import wait_passively

leave_out_noise()  # here, for the processes that a sweep's launcher starts import this as well

# 128 + SIGINT, as shells have it
INTERRUPTED = 130


def entry_point(config_name: str, options: type, sweeps: bool = False) -> Callable:
    """Decorate a script's `main(cfg)`: exit code 2 and one line on stderr for a user's mistake.

    options: declares what the config may hold, see `options.accepted`. sweeps: take lists of values
    without --multirun.
    """

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(main)
        def run() -> None:
            wait_passively()
            # Hydra then raises instead of printing and exiting with 1
            os.environ["HYDRA_FULL_ERROR"] = "1"
            if sweeps and not any(argument.startswith("-") for argument in sys.argv[1:]):
                sys.argv.append("--multirun")
            several = any(argument in ("-m", "--multirun") for argument in sys.argv)
            composed = hydra.main(
                version_base="1.3", config_path="../configs", config_name=config_name
            )
            with errors_in_one_line():
                sys.argv[1:] = readable(sys.argv[1:], options, several)
                composed(_task(main, options))()

        return run

    return decorate


def _task(main: Callable[[DictConfig], None], options: type) -> Callable[[DictConfig], None]:
    """main with checked options, whose errors end the process before Hydra adds to them; not in a
    sweep, where the other runs go on.
    """

    @functools.wraps(main)
    def task(cfg: DictConfig):
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return main(accepted(cfg, options))
        with errors_in_one_line():
            return main(accepted(cfg, options))

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
    except HydraException as error:
        _stop(explained(error))
    except OmegaConfBaseException as error:
        _stop(f"{error.full_key}: {first_line(error)}")
    except yaml.MarkedYAMLError as error:
        _stop(_where(error))
    except UnicodeDecodeError:
        _name_config_of_other_encoding()
        raise
    except OSError as error:
        if error.filename is None:
            raise
        _stop(f"{error.filename}: {error.strerror}; fix that and run again")
    except KeyboardInterrupt as error:
        message = str(error) or "interrupted; what is done is kept, run the same command again"
        print(f"\n{message}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _where(error: yaml.MarkedYAMLError) -> str:
    mark, problem = error.problem_mark, error.problem
    return f"{mark.name}: not YAML in line {mark.line + 1} ({problem}); fix it"


def _name_config_of_other_encoding() -> None:
    """End the process with a line that names it; Hydra's error doesn't."""
    for file in sorted(CONFIGS.rglob("*.yaml")):
        try:
            read_text(file, "fix it")
        except UserError as error:
            _stop(str(error))


def _stop(message: str, code: int = 2) -> None:
    one_line = " ".join(message.splitlines())  # what it quotes may hold a line break
    print(f"error: {one_line}", file=sys.stderr)
    sys.exit(code)
