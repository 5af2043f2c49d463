"""Mistakes of the user's, and what other people's errors say."""

from pydantic import ValidationError


class UserError(Exception):
    """A mistake of the user's: one line that names the file, field or option, and the fix.

    `entry_point` prints the line alone, without a traceback, and exits with `exit_code`.
    """

    exit_code = 2


def first_line(error: BaseException) -> str:
    """The first line of an error's text, 300 characters at most; its type's name if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def in_one_line(error: BaseException) -> str:
    """All that an error says, its lines joined by semicolons."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())


def first_fault(error: ValidationError) -> str:
    """The first fault found, with its key, on one line."""
    first, *others = error.errors(include_url=False)
    key = ".".join(map(str, first["loc"]))
    more = f" (and {len(others)} more)" if others else ""
    return f"{key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}{more}"
