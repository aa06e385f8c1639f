"""One file on its way to or from an agent: waited for while bytes move, and no more of it held than some blocks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from zlh_api.agents.patience_rules import SILENCE_S, WINDOW_S, Patience
from zlh_api.alarm import Alarm
from zlh_api.direct_bytes import Bytes, BytesCut, DirectBytes, take_directly

# What may wait of an answer that is not read; so large, that the loop is not asked for each record of TLS.
READ_BUFFER_BYTES = 256 * 1024
# How long an agent may take to put in place what it has got: it syncs the disk, and may look through all of it.
ANSWER_S = 600.0
CONNECT_S = 10.0


class TransferBroken(Exception):
    """The agent takes or gives no more."""


class Outgoing:
    """A body that is sent; what fails in making it is kept, since aiohttp tells only that it failed."""

    def __init__(self, source: AsyncIterator[Bytes]) -> None:
        self._source = source
        self._scope: asyncio.Timeout | None = None
        self._alarm = Alarm(self._give_up)
        self.failure: BaseException | None = None
        self.is_complete = False

    def use(self, scope: asyncio.Timeout | None) -> None:
        """Have the agent's time run out by this scope; by none once it has answered."""
        self._scope = scope
        if scope is None:
            self._alarm.close()

    async def blocks(self) -> AsyncIterator[Bytes]:
        """Yield the body; the time until the next block is asked for is what the agent takes."""
        loop, patience = asyncio.get_running_loop(), Patience()
        try:
            # What the scope begins with is the time to get there.
            self._let_run_on()
            async for block in self._source:
                began = loop.time()
                self._wait_for(SILENCE_S)
                yield block
                self._alarm.end()
                patience = _count(patience.after(loop.time() - began, len(block)), "it has taken")
            self.is_complete = True
            self._wait_for(ANSWER_S)
        except BaseException as error:
            self.failure = error
            raise

    def _let_run_on(self) -> None:
        if self._scope is not None:
            self._scope.reschedule(None)

    def _wait_for(self, time_s: float) -> None:
        if self._scope is not None:
            self._alarm.begin(time_s)

    def _give_up(self) -> None:
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())


class Transfer:
    """An answer that is read bit by bit."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._direct: DirectBytes | None = None
        self._has_begun = False
        self.status = response.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """What the agent says beside; nothing of it is believed unchecked."""
        return self._response.headers

    @property
    def has_end(self) -> bool:
        """Whether the end of the body can be told from a connection that broke."""
        return "Content-Length" in self.headers or self.headers.get("Transfer-Encoding", "").lower() == "chunked"

    async def blocks(self) -> AsyncIterator[Bytes]:
        """Yield the body as it comes; raise TransferBroken where it ends before its end, or trickles.

        A block may be read until the next one is asked for, and no longer.
        """
        loop, patience = asyncio.get_running_loop(), Patience()
        while True:
            began = loop.time()
            try:
                block = await self._take()
            except TimeoutError:
                raise TransferBroken(f"it has sent nothing for {SILENCE_S:g} s") from None
            except (aiohttp.ClientError, OSError, BytesCut) as exc:
                raise TransferBroken("it broke off in the middle") from exc
            if not block:
                return
            patience = _count(patience.after(loop.time() - began, len(block)), "it has sent")
            yield block

    async def _take(self) -> Bytes:
        if not self._has_begun:
            self._begin()
        if self._direct is not None:
            return await self._direct.take()
        async with asyncio.timeout(SILENCE_S):
            return await self._response.content.readany()

    def _begin(self) -> None:
        self._has_begun = True
        response, length = self._response, self.headers.get("Content-Length", "")
        connection = response.connection
        if connection is None or connection.transport is None or connection.protocol is None or not length.isdecimal():
            return
        transport, before = connection.transport, connection.protocol
        self._direct = take_directly(response.content, transport, before, int(length), silence_s=SILENCE_S)

    def close(self) -> None:
        """Let go of the connection; it is used again where all of the answer was read, and by the parser."""
        if self._direct is not None:
            self._direct.end()
        self._response.close()

    async def read(self, most: int) -> bytes:
        """Return the body, cut after so many bytes; raise TransferBroken."""
        held = bytearray()
        async for block in self.blocks():
            held += block
            if len(held) > most:
                break
        return bytes(held[:most])


def _count(patience: Patience, done: str) -> Patience:
    """Return it as it is; raise TransferBroken where it is spent."""
    if patience.is_spent:
        raise TransferBroken(f"{done} {patience.moved_bytes} bytes in {WINDOW_S:g} s")
    return patience


async def begin(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: Mapping[str, str],
    outgoing: Outgoing | None,
    *,
    context: ssl.SSLContext,
    name: str,
) -> aiohttp.ClientResponse:
    """Send a request with all of its body and return the head of the answer; raise TransferBroken.

    Whatever `outgoing` fails with is raised as it is.
    """
    try:
        async with asyncio.timeout(CONNECT_S + SILENCE_S) as scope:
            if outgoing is not None:
                outgoing.use(scope)
            return await session.request(
                method,
                url,
                data=None if outgoing is None else outgoing.blocks(),
                headers=headers,
                ssl=context,
                server_hostname=name,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            )
    except TimeoutError:
        raise TransferBroken("it takes nothing of what is sent, or gives no answer") from None
    except (aiohttp.ClientError, OSError) as exc:
        if outgoing is not None and outgoing.failure is not None:
            raise outgoing.failure from exc
        raise TransferBroken(str(exc) or type(exc).__name__) from exc
    finally:
        if outgoing is not None:
            outgoing.use(None)
