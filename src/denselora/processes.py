"""The processes of one launch."""

from collections.abc import Callable

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from denselora.errors import UserError


def on_main_process(act: Callable[[], None]) -> None:
    """Do something on the main process alone; all wait for it, and all raise its UserError."""
    errors: list[str | None] = [None]
    if PartialState().is_main_process:
        try:
            act()
        except UserError as error:
            errors = [str(error)]
    (message,) = broadcast_object_list(errors)
    if message is not None:
        raise UserError(message)
