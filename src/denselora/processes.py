"""The processes of one launch."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

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


def check_alike(found: dict[str, Hashable], then: str) -> None:
    """Raise UserError, on all processes, unless they all found the same. then: what to do."""
    first, *others = gather_object([found])
    for other in others:
        for what, value in first.items():
            if other[what] != value:
                raise UserError(
                    f"the processes of this launch differ in {what} ({value} and {other[what]}); "
                    f"{then}"
                )


@contextmanager
def ending_together(then: str) -> Iterator[None]:
    """Raise UserError in place of what gloo or NCCL say when another process has ended.

    then: what to do. gloo notices at once; NCCL by its own time limit, or the launcher ends all.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.distributed.DistError) or "/gloo/" in str(error):
            raise UserError(
                f"another process of this launch has ended, its own lines say why; {then}"
            ) from None
        raise
