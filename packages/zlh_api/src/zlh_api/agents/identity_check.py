"""Holds what an agent shows against what it was given, before a byte of a request is written to it."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from zlh_api.agents.crumbs import NoCrumbs
from zlh_api.agents.pins import PinBook
from zlh_common.names import OwnerMark, parse_agent_name

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace

# An identity may be replaced between a handshake and the look at what is accepted, so one that does not match is met
# once more.
TRIES = 2


class IdentityUnknown(Exception):
    """What answers has a certificate of the right name that the agent was not given, or has no more."""


def read_fingerprint(transport: asyncio.BaseTransport | None) -> bytes:
    """Return the SHA-256 of the certificate that was shown; raise IdentityUnknown where there is none."""
    shown = transport.get_extra_info("ssl_object") if transport is not None else None
    certificate = shown.getpeercert(binary_form=True) if shown is not None else None
    if not certificate:
        raise IdentityUnknown("it shows no certificate")
    return hashlib.sha256(certificate).digest()


async def check_identity(pins: PinBook, owner: OwnerMark, transport: asyncio.BaseTransport | None) -> bytes:
    """Return what was shown; raise IdentityUnknown where that is not accepted, DatabaseUnavailable."""
    shown = read_fingerprint(transport)
    accepted = await pins.fetch(owner)
    if accepted is not None and shown not in accepted:
        raise IdentityUnknown("it shows a certificate that it was not given, or has no more")
    return shown


def _new_handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return NoCrumbs(loop)


class CheckedConnector(aiohttp.TCPConnector):
    """Lends connections to agents that were checked at this very moment, those that are used again included."""

    def __init__(self, pins: PinBook) -> None:
        super().__init__(limit=0, ttl_dns_cache=0)
        # aiohttp has no setting for what its connections are made of.
        self._factory = partial(_new_handler, self._loop)
        self._pins = pins
        self._used: WeakSet[asyncio.BaseTransport] = WeakSet()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """Return a connection; raise IdentityUnknown, DatabaseUnavailable and what aiohttp raises."""
        owner = parse_agent_name(req.server_hostname or "")
        assert owner is not None
        fresh = 0
        while True:
            connection = await super().connect(req, traces, timeout)
            transport = connection.transport
            fresh += transport not in self._used
            try:
                await check_identity(self._pins, owner, transport)
            except IdentityUnknown:
                connection.close()
                if fresh >= TRIES:
                    raise
                continue
            except BaseException:
                connection.close()
                raise
            assert transport is not None
            self._used.add(transport)
            return connection
