"""Secrets that are handed out once: how they look, how they are made, and what alone is kept of them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

# A secret says what it is, so that a leaked one is found by scanners.
API_TOKEN_PREFIX = "zlh_pat_"  # noqa: S105 - the public part of a token
TICKET_PREFIX = "zlh_tkt_"
INVITATION_PREFIX = "zlh_inv_"
PASSWORD_RESET_PREFIX = "zlh_rst_"  # noqa: S105 - the public part of a code
# A cookie needs no prefix: its name says what it is.
SESSION_PREFIX = ""
RANDOM_BYTES = 32
HINT_CHARS = 4


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that never shows itself."""

    value: str

    def __repr__(self) -> str:
        return "***"

    @property
    def digest(self) -> bytes:
        """What is stored of it."""
        return token_digest(self.value)

    @property
    def hint(self) -> str:
        """How it ends, by which its owner knows it again."""
        return self.value[-HINT_CHARS:]


def new_secret(prefix: str) -> Secret:
    """Return 256 fresh random bits behind a prefix."""
    return Secret(prefix + secrets.token_urlsafe(RANDOM_BYTES))


def new_api_token() -> Secret:
    """Return a fresh bearer token."""
    return new_secret(API_TOKEN_PREFIX)


def token_digest(token: str) -> bytes:
    """Return what is stored of a token: nothing can be guessed from the hash of so many random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
