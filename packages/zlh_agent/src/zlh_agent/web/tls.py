"""Mutual TLS 1.3: only the API's own certificate opens the agent."""

from __future__ import annotations

import ssl
from asyncio import constants, sslproto
from typing import Any

from zlh_common.identity_memory import load_identity
from zlh_common.names import API_NAME

_HELD_KIB = 64
_KIB = 1024


def server_context(identity: bytes, client_ca: bytes) -> ssl.SSLContext:
    """Return a context for the listener; OpenSSL refuses clients that another CA signed, or not for clientAuth.

    Raise OSError or ValueError where one of the two cannot be used.
    """
    context = bare_context()
    context.load_verify_locations(cadata=client_ca.decode("ascii"))
    load_identity(context, identity)
    return context


def bare_context() -> ssl.SSLContext:
    """Return a context that shows nothing and believes nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # The API resumes no session, and would hold five kilobytes for each ticket of each agent.
    context.num_tickets = 0
    return context


def hold_little() -> None:
    """Have asyncio hold less for each TLS connection of this process, from the next one on.

    It reads into 256 KiB of its own, all of it in memory from the first moment on, and lets 256 KiB more wait to be
    read and 512 KiB to be sent: 64 transfers would hold 64 MiB beside their files. There is no setting for the first
    two; what waits to be sent is set with them, as one size.
    """
    sslproto.SSLProtocol.max_size = _HELD_KIB * _KIB
    constants.FLOW_CONTROL_HIGH_WATER_SSL_READ = _HELD_KIB  # type: ignore[misc]
    constants.FLOW_CONTROL_HIGH_WATER_SSL_WRITE = _HELD_KIB  # type: ignore[misc]


def is_api(certificate: dict[str, Any] | None) -> bool:
    """Tell whether a verified client certificate is the API's own."""
    names = (certificate or {}).get("subjectAltName", ())
    return ("DNS", API_NAME) in names
