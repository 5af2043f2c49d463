"""What a user's screen shows: what the command says, and warnings that the user can act on."""

import logging
import warnings

# on every start on a CPU: a kernel that speeds up 4-bit bases there; of every 8-bit layer: its way
# to compute
CHATTY = ("bitsandbytes.backends.cpu.ops", "bitsandbytes.autograd._functions")


def leave_out_noise() -> None:
    """Leave out what libraries say to each other's developers, in this process."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for category in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=category)
