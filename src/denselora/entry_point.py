"""How a script starts: Hydra composes its config, and a user's mistake ends it in one line."""

import functools
import os
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from denselora.errors import UserError


def entry_point(config_name: str) -> Callable:
    """Decorate a script's `main(cfg)`: exit code 2 and one line on stderr for a user's mistake."""

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(main)
        def run() -> None:
            # Hydra then raises instead of printing and exiting with 1
            os.environ["HYDRA_FULL_ERROR"] = "1"
            composed = hydra.main(
                version_base="1.3", config_path="../configs", config_name=config_name
            )
            with _told_in_one_line():  # what Hydra finds
                composed(
                    _told_in_one_line()(main)
                )()  # what main finds, before Hydra comments on it

        return run

    return decorate


@contextmanager
def _told_in_one_line():
    try:
        yield
    except UserError as error:
        _stop(str(error), error.exit_code)
    except (HydraException, OmegaConfBaseException) as error:
        _stop(re.sub(r"\s*\n\s*", "; ", str(error.__cause__ or error).strip()))


def _stop(message: str, code: int = 2) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
