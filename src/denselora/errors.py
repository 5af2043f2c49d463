"""What a user of the project can get wrong."""


class UserError(Exception):
    """A mistake of the user's: one line that names the file, field or option, and the mend.

    Entry points print the message alone, without a traceback, and exit with `exit_code`.
    """

    exit_code = 2
