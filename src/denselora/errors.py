"""The user's mistakes."""


class UserError(Exception):
    """A mistake in the input or options. The message is one line: what is wrong and the mend."""
