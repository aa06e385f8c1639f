"""`zlh-api operator`: the first operator of an installation, and the way back in for the last one.

The password comes from the terminal, or is the first line of standard input. It is never an argument, since every
user of a machine can read those.
"""

from __future__ import annotations

from getpass import getpass
from typing import TextIO

from zlh_api.customers.rules import is_storable
from zlh_api.customers.secret import Secret
from zlh_common.errors import ZlhError

# More than any password has; a file that was given by mistake is not read to its end.
MAX_LINE_CHARS = 4096


class PasswordsDiffer(ZlhError):
    """The password was typed in two ways."""

    code, status = "passwords_differ", 400

    def __init__(self) -> None:
        super().__init__("The two passwords differ; nothing was changed.")


class PasswordUnreadable(ZlhError):
    """Standard input holds no password."""

    code, status = "password_unreadable", 400

    def __init__(self) -> None:
        super().__init__("Standard input must hold the password as its first line, in UTF-8; nothing was changed.")


def read_password(source: TextIO) -> Secret:
    """Return the password, asked for twice where somebody sits at a terminal; raise PasswordsDiffer, -Unreadable."""
    if source.isatty():
        first, second = getpass("Password: "), getpass("Once more: ")
        if first != second:
            raise PasswordsDiffer
        return Secret(first)
    try:
        line = source.readline(MAX_LINE_CHARS)
    except UnicodeDecodeError:
        raise PasswordUnreadable from None
    password = line.removesuffix("\n").removesuffix("\r")
    # Under some locales, bytes that are no UTF-8 come in as halves of characters.
    if not password or not is_storable(password) or len(line) >= MAX_LINE_CHARS:
        raise PasswordUnreadable
    return Secret(password)
