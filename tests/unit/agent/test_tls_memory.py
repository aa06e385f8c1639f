"""What asyncio holds for a TLS connection of the agent, by names of its modules that may be others one day."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import constants, sslproto

import pytest

from zlh_agent.web.tls import hold_little


async def test_a_connection_holds_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it reads into, and what may wait in both directions."""
    names = ("FLOW_CONTROL_HIGH_WATER_SSL_READ", "FLOW_CONTROL_HIGH_WATER_SSL_WRITE")
    for holder, name in ((sslproto.SSLProtocol, "max_size"), *((constants, name) for name in names)):
        monkeypatch.setattr(holder, name, getattr(holder, name))
    hold_little()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    waiter = asyncio.get_running_loop().create_future()
    protocol = sslproto.SSLProtocol(asyncio.get_running_loop(), asyncio.Protocol(), context, waiter, server_side=True)
    transport = protocol._get_app_transport()  # type: ignore[attr-defined]
    assert len(protocol.get_buffer(-1)) == 64 * 1024
    assert transport.get_read_buffer_limits()[1] == 64 * 1024
    assert transport.get_write_buffer_limits()[1] == 64 * 1024
    protocol.connection_lost(None)
