"""One TCP connection to a name server, on which every message is signed and every answer has to be.

Read by hand, since a zone transfer is verified over many messages and must be bounded.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig

from zlh_api.dns.port import Check

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
# Of one transfer: some hundred thousand records.
MAX_TRANSFER_BYTES = 64 * 2**20


class Nonsense(Exception):
    """An answer that is none, or none to our question."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a name server listens."""

    host: str
    port: int


class TsigConnection:
    """Asks one question after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: dns.tsig.Key) -> None:
        self._reader, self._writer, self._key = reader, writer, key

    async def ask(self, question: dns.message.Message, *, check: Check | None = None) -> dns.message.Message:
        """Return the answer; raise Nonsense, dns.tsig.PeerError, ConnectionError, TimeoutError, EOFError."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._send(question, check)
            wire = await self._receive()
        answer = self._read(question, wire)
        if not question.is_response(answer):
            raise Nonsense("its answer is not to our question")
        if not answer.had_tsig and answer.rcode() == dns.rcode.NOERROR:
            raise Nonsense("its answer is not signed")
        return answer

    async def transfer(self, zone: dns.name.Name) -> list[dns.message.Message]:
        """Return the messages of a zone transfer, each verified, or the one that refuses it; raise what `ask` does."""
        question = dns.message.make_query(zone, "AXFR")
        messages: list[dns.message.Message] = []
        size, ends, context = 0, 0, None
        async with asyncio.timeout(4 * ANSWER_TIMEOUT_S):
            await self._send(question, None)
            # The SOA stands at its beginning and at its end.
            while ends < 2:
                wire = await self._receive()
                size += len(wire)
                if size > MAX_TRANSFER_BYTES:
                    raise Nonsense(f"its zone is larger than {MAX_TRANSFER_BYTES} bytes")
                message = await asyncio.to_thread(self._read, question, wire, context, is_transfer=True)
                if message.id != question.id:
                    raise Nonsense("its answer is not to our question")
                if message.rcode() != dns.rcode.NOERROR:
                    return [message]
                if not message.answer:
                    # Taken for a zone, it would be one without any record, and everything of ours would be missing.
                    raise Nonsense("its zone transfer has nothing in it")
                ends += sum(len(each) for each in message.answer if each.rdtype == dns.rdatatype.SOA)
                context = message.tsig_ctx
                messages.append(message)
        if not messages[-1].had_tsig:
            raise Nonsense("its zone transfer is not signed")
        return messages

    def _read(
        self,
        question: dns.message.Message,
        wire: bytes,
        context: object = None,
        *,
        is_transfer: bool = False,
    ) -> dns.message.Message:
        try:
            return dns.message.from_wire(
                wire,
                keyring=self._key,
                request_mac=question.mac,
                xfr=is_transfer,
                tsig_ctx=context,  # type: ignore[arg-type] # what a message before has left
                multi=is_transfer,
            )
        except dns.tsig.PeerError:
            raise
        except (dns.exception.DNSException, ValueError) as exc:
            raise Nonsense(f"its answer cannot be read ({type(exc).__name__})") from exc

    async def _send(self, question: dns.message.Message, check: Check | None) -> None:
        question.use_tsig(self._key)
        wire = question.to_wire()
        if check is not None:
            check()
        self._writer.write(struct.pack("!H", len(wire)) + wire)
        await self._writer.drain()

    async def _receive(self) -> bytes:
        (length,) = struct.unpack("!H", await self._reader.readexactly(2))
        return await self._reader.readexactly(length)


@asynccontextmanager
async def open_connection(address: Address, key: dns.tsig.Key) -> AsyncIterator[TsigConnection]:
    """Lend a connection; raise ConnectionError, TimeoutError, OSError."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield TsigConnection(reader, writer, key)
    finally:
        writer.close()
