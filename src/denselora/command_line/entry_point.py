"""How a script starts: its options are composed and checked, and a mistake ends it in one line."""

import functools
import os
import select
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TextIO

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

# 128 + SIGINT and 128 + SIGPIPE, as shells have it
INTERRUPTED, UNREAD = 130, 141


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
    that the system refuses, or Ctrl-C; without a line when what reads its output has ended.
    """
    try:
        yield
        sys.stdout.flush()
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
    except BrokenPipeError:
        if not _is_unread(sys.stdout):
            raise
        # what is left in its buffer would be written at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNREAD)
    except OSError as error:
        if error.filename is None:
            raise
        _stop(f"{error.filename}: {error.strerror}; fix that and run again")
    except KeyboardInterrupt as error:
        message = str(error) or "interrupted; what is done is kept, run the same command again"
        print(f"\n{message}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _is_unread(stream: TextIO) -> bool:
    """Whether a stream leads to a process that has ended, as `| head` does."""
    found = select.poll()
    found.register(stream, select.POLLOUT)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in found.poll(0))


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
