"""The certificate and key by which an agent is known, as the API renews them in place, and whom it believes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from zlh_common.schema.structs import Report

# A chain of certificates of any kind of key has a few kibibytes.
Pem = Annotated[str, Meta(min_length=1, max_length=16 * 1024)]
# How many CAs an agent may be told to believe: two while they change, and never a list that somebody has made long.
MAX_CLIENT_CAS = 8


class RenewIdentity(Report):
    """`POST /identity` of an agent: from now on it shows this to whoever connects."""

    certificate: Pem
    private_key: Pem
    # The CAs that may sign the API, all of them and no others; None leaves those that it believes. From protocol 4 on.
    client_ca: Pem | None = None

    def __repr__(self) -> str:
        return "RenewIdentity(***)"


class IdentityTaken(Report):
    """The agent's answer: until when what it shows now is good, and how many CAs it believes."""

    expires_at: datetime
    # From protocol 4 on.
    client_cas: int | None = None
