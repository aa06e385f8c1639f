"""Whether the agent serves at its own port: asked as the API does, as far as one gets without the API's key.

With TLS 1.3 a client has seen and proved the certificate before it shows its own. So the handshake is whole on our
side, and what follows is that the agent hangs up on a client without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from zlh_common.names import OwnerMark, agent_name

PATIENCE_S = 10.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where nobody listens, but everybody may come in


async def knock(address: str, port: int, *, owner: OwnerMark, shown: bytes) -> None:
    """Return once a connection to the port has met the identity `shown` (PEM); raise OSError or ValueError."""
    context = await asyncio.to_thread(_believing, shown)
    async with asyncio.timeout(PATIENCE_S):
        _reader, writer = await asyncio.open_connection(
            _LOOPBACK.get(address, address), port, ssl=context, server_hostname=agent_name(owner)
        )
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await writer.wait_closed()


def _believing(shown: bytes) -> ssl.SSLContext:
    """Return a context that believes this one certificate, as its own CA, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=shown.decode("ascii"))
    return context
