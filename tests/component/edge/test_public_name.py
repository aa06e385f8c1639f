"""The request through a public name: what is believed, and what each thing that can be wrong is called."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from guards.ports import free_port
from real_parts.certificates import Pair, PublicCa
from zlh_api.edge import public_name
from zlh_api.edge.certificate_trouble import DEFAULT_CERTIFICATE, parse_certificate
from zlh_api.edge.port import NameNotAnswering
from zlh_api.edge.public_name import PublicName
from zlh_common.errors import ConfigInvalid

HOST, VMID = "dev-101.example.test", 101
READY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"vmid": 101}'


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PublicCa:
    """Give a CA that is trusted here."""
    return PublicCa(tmp_path_factory.mktemp("ca"))


@asynccontextmanager
async def serving(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve one and the same answer; give the port and the heads of the requests."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], heads
    server.close()
    await server.wait_closed()


async def ask(url: str, ca: Path | None = None) -> str:
    """Return what is wrong, or nothing."""
    async with PublicName(web_url=url, ca=ca) as name:
        try:
            await name.check_ready(HOST, VMID)
        except NameNotAnswering as error:
            return error.detail
    return ""


async def test_a_name_with_a_certificate_is_ready(ca: PublicCa) -> None:
    """Both of its own and of the wildcard; the name is in the handshake and in the request, at the proxy's address."""
    for pair in (ca.issue(HOST), ca.issue("*.example.test")):
        context, asked = pair.server_context(), list[str | None]()
        context.sni_callback = lambda _socket, name, _context, asked=asked: asked.append(name)
        async with serving(READY, context) as (port, heads):
            assert not await ask(f"https://127.0.0.1:{port}", ca.ca)
        assert asked == [HOST]
        assert f"Host: {HOST}".encode() in heads[0]


async def test_a_name_by_plain_http_is_ready() -> None:
    """Where nothing speaks TLS, none is asked for."""
    async with serving(READY) as (port, heads):
        assert not await ask(f"http://127.0.0.1:{port}")
    assert heads[0].startswith(b"GET /.zlh/ready ")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda ca, _other: ca.issue(HOST, ends=timedelta(days=-1)), r"has expired on 20\d\d-"),
        (lambda ca, _other: ca.issue(HOST, begins=timedelta(days=1)), r"is valid from 20\d\d-.*clocks"),
        (lambda ca, _other: ca.issue("a.test", "*.b.test"), r"is for a\.test, \*\.b\.test and not"),
        (lambda _ca, other: other.issue(HOST), r"signed by 'Somebody Else'.*traefik\.tls\.ca"),
        (lambda _ca, other: other.issue(DEFAULT_CERTIFICATE), r"TRAEFIK DEFAULT CERT.*obtained none"),
    ],
    ids=["expired", "early", "name", "signer", "default"],
)
async def test_what_is_wrong_with_a_certificate_is_told(
    ca: PublicCa, tmp_path: Path, make: Callable[[PublicCa, PublicCa], Pair], told: str
) -> None:
    """By what has to be done about it, and nothing is asked of whoever shows it."""
    pair = await asyncio.to_thread(make, ca, PublicCa(tmp_path, "Somebody Else"))
    async with serving(READY, pair.server_context()) as (port, heads):
        with pytest.raises(AssertionError, match=told):
            assert not await ask(f"https://127.0.0.1:{port}", ca.ca)
    assert not heads


async def test_a_certificate_of_this_test_is_not_what_the_system_trusts(ca: PublicCa) -> None:
    """Without a CA of its own the system's are asked."""
    async with serving(READY, ca.issue(HOST).server_context()) as (port, _):
        assert "whom this machine does not trust" in await ask(f"https://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "status 301"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (READY.replace(b"101", b"102"), "something else answers"),
        (READY.replace(b'{"vmid": 101}', b"[1,2,3,4,5,6]"), "something else answers"),
        (READY.replace(b'{"vmid": 101}', b"<html></html>"), "something else answers"),
        (READY.replace(b'{"vmid": 101}', b"\xff" * 13), "something else answers"),
        (READY.replace(b"13", b"9000") + b" " * 8987, "something else answers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"[" * 500_000, "something else answers"),
        (READY[:-5], "the answer ends too early"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "something else answers"),
        (b"", "closed without an answer"),
    ],
    ids=["moved", "unknown", "other", "list", "page", "bytes", "long", "deep", "cut", "ssh", "closed"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_whoever_else_answers_is_not_taken_for_us(ca: PublicCa, scheme: str, answer: bytes, told: str) -> None:
    """Nor is anybody followed elsewhere, or read without end."""
    context = ca.issue(HOST).server_context() if scheme == "https" else None
    async with serving(answer, context) as (port, heads):
        found = await ask(f"{scheme}://127.0.0.1:{port}", ca.ca)
    assert told in found
    assert f"{scheme}://{HOST}/.zlh/ready" in found
    # A connection that was closed may have been an old one, so it is tried again.
    assert 1 <= len(heads) <= 2


async def test_nobody_there_and_no_tls_there_are_told(ca: PublicCa) -> None:
    """Each by its name."""
    port = free_port()
    assert f"nobody listens at 127.0.0.1:{port}" in await ask(f"https://127.0.0.1:{port}", ca.ca)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # As what speaks plain HTTP does, which finds no request in a handshake.
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert "does not speak TLS as it should" in await ask(f"https://127.0.0.1:{port}", ca.ca)
    server.close()
    await server.wait_closed()


async def test_an_answer_that_never_comes_is_waited_for_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as a visitor would."""
    monkeypatch.setattr(public_name, "TIMEOUT_S", 0.2)
    left = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()
        await writer.wait_closed()
        left.set()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    assert "no answer within" in await ask(f"http://127.0.0.1:{hanging.sockets[0].getsockname()[1]}")
    await left.wait()
    hanging.close()
    await hanging.wait_closed()


@pytest.mark.parametrize("content", [b"", b"no certificate", None], ids=["empty", "other", "missing"])
def test_a_ca_that_is_none_is_refused_at_the_start(tmp_path: Path, content: bytes | None) -> None:
    """By the name of the setting."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=r"traefik\.tls\.ca"):
        PublicName(web_url="https://127.0.0.1", ca=path)


def test_a_certificate_that_cannot_be_read_is_none() -> None:
    """Whoever shows it may be anybody."""
    assert parse_certificate(b"\x30\x03\x02\x01\x00") is None
