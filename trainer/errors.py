"""Mistakes that the user can mend: the command line prints them as one line and ends with exit code 2."""


class UserError(Exception):
    """What is wrong, where, and what to do, in one line."""
