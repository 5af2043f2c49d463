"""The option `parts`: what of a script's work is asked for."""

from collections.abc import Collection, Sequence
from typing import Any

from denselora.errors import UserError


def chosen_parts(parts: Any, known: Collection[str]) -> Sequence[str]:
    """The names in `parts`, a list. Raises UserError unless it is one of known names."""
    if isinstance(parts, str) or not parts:
        raise UserError(f"parts={parts or '[]'}: give a list of {', '.join(known)}, as parts=[...]")
    unknown = [name for name in parts if name not in known]
    if unknown:
        raise UserError(f"parts: {unknown[0]} is none of {', '.join(known)}")
    return parts
