"""The certificate and key by which an agent is known, as the API renews them in place."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from zlh_common.schema.structs import Report

# A chain of certificates of any kind of key has a few kibibytes.
Pem = Annotated[str, Meta(min_length=1, max_length=16 * 1024)]


class RenewIdentity(Report):
    """`POST /identity` of an agent: from now on it shows this to whoever connects."""

    certificate: Pem
    private_key: Pem

    def __repr__(self) -> str:
        return "RenewIdentity(***)"


class IdentityTaken(Report):
    """The agent's answer: until when what it shows now is good."""

    expires_at: datetime
