"""Whether a certificate and its key would open this agent to the API: tried, on a connection that never leaves memory.

The certificate stands for its own CA here, since agents are not told which one signs them; the API, which knows it,
has sent it over a connection that only the API can open.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime

from zlh_common.identity_memory import load_identity
from zlh_common.names import OwnerMark, agent_name

# A handshake that has not ended after so many turns never does.
TURNS = 10


def prove(pem: bytes, owner: OwnerMark) -> datetime:
    """Return until when an identity is good; raise OSError or ValueError, which say why it is none. It blocks.

    `pem` holds the certificate and its key. They must belong together, name this container, be for servers, and hold.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    load_identity(server, pem)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=pem.decode("ascii"))
    expires_at = _shake_hands(server, client, agent_name(owner)).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(expires_at)), UTC)


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> dict[str, object]:
    """Return what the client has seen of the server's certificate; raise SSLError where it does not believe it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=name)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(TURNS):
        is_done = [_advance(asking.do_handshake), _advance(answering.do_handshake)]
        if all(is_done):
            return dict(asking.getpeercert() or {})
    raise ValueError("the handshake does not end")


def _advance(do_handshake: Callable[[], None]) -> bool:
    try:
        do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
