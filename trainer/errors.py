"""Mistakes that the user can mend: the command line prints them as one line and ends with exit code 2."""

from pydantic import ValidationError


class UserError(Exception):
    """What is wrong, where, and what to do, in one line."""


def first_error(error: ValidationError) -> tuple[str, str]:
    """The name of the first setting or field that is wrong, and what is wrong with it."""
    first = error.errors()[0]
    name, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return name, message if first["type"] == "value_error" else f"{message} (given {first['input']!r})"
