"""What programs listen on is seen on the real kernel: who, where, and what they speak."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from fakes.certificates import Certificates
from zlh_agent.ports import watch as watch_module
from zlh_agent.ports.holders import find_holders
from zlh_agent.ports.kernel import ListeningList
from zlh_agent.ports.listening import Holder
from zlh_agent.ports.watch import PortWatch
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark
from zlh_common.schema.ports import ListeningPort, PortKind, PortReach

OWNER = OwnerMark(str(uuid4()))
# An address that no other test listens on.
MINE = "127.77.211.7"
REACHES = {
    MINE: PortReach.NETWORK,
    "0.0.0.0": PortReach.SHARED,
    "::": PortReach.SHARED,
    "127.0.0.1": PortReach.LOOPBACK,
    "::1": PortReach.LOOPBACK,
}
PYTHON = Path(sys.executable).resolve().name
WAIT_S = 30.0
_SPEAKER = """
import os, socket, ssl, sys, http.server
address, family, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *said): pass
class Server(http.server.HTTPServer):
    address_family = family
if kind in ("http", "https"):
    server = Server((address, 0), Quiet)
    if kind == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("agent.crt", "agent.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], os.getpid(), flush=True)
    server.serve_forever()
s = socket.create_server((address, 0), family=family)
print(s.getsockname()[1], os.getpid(), flush=True)
kept = []
while True:
    kept.append(s.accept()[0])
    if kind == "greets":
        kept[-1].sendall(b"SSH-2.0-x\\r\\n")
    elif kind == "floods":
        try:
            while True:
                kept[-1].sendall(b"HTTP/1.1 200 OK\\r\\n" * 4096)
        except OSError:
            pass
    elif kind == "hangs up":
        kept.pop().close()
"""


@contextmanager
def program(address: str, kind: str, *, family: int = 2, folder: Path | None = None) -> Iterator[tuple[int, int, int]]:
    """Run a server as a customer's program, below a shim; yields its port, its pid and the shim's."""
    argv = ["sh", "-c", '"$@" & wait', "sh", sys.executable, "-c", _SPEAKER, address, str(family), kind]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=folder) as shim:
        assert shim.stdout is not None
        port, pid = map(int, shim.stdout.readline().split())
        try:
            yield port, pid, shim.pid
        finally:
            psutil.Process(pid).kill()


@asynccontextmanager
async def watching(*shims: int) -> AsyncIterator[PortWatch]:
    """Look as an agent does on a machine that it shares, so that no other test's servers are asked anything."""
    watch = PortWatch(SystemClock(), bind_address=MINE, own_port=1)
    watch.roots = lambda: shims
    looking = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await watch.close()


async def wait_for(watch: PortWatch, port: int, holds: Callable[[ListeningPort | None], bool]) -> ListeningPort | None:
    """Return what is told of a port once that is as it should be."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = next((each for each in watch.ports() if each.port == port), None)
            if holds(found):
                return found
            await asyncio.sleep(0.02)


def is_asked(found: ListeningPort | None) -> bool:
    """Tell whether the port was asked what it speaks."""
    return found is not None and found.kind is not PortKind.UNKNOWN


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate that nobody would believe."""
    folder = tmp_path_factory.mktemp("certificate")
    Certificates(folder / "ca").write_agent(folder, OWNER)
    return folder


@pytest.mark.parametrize(
    ("address", "family", "kind", "told"),
    [
        (MINE, 2, "http", PortKind.HTTP),
        ("0.0.0.0", 2, "http", PortKind.HTTP),
        ("::", 10, "http", PortKind.HTTP),
        ("::1", 10, "https", PortKind.HTTPS),
        ("127.0.0.1", 2, "https", PortKind.HTTPS),
        ("127.0.0.1", 2, "greets", PortKind.TCP),
        ("127.0.0.1", 2, "says nothing", PortKind.TCP),
        ("127.0.0.1", 2, "hangs up", PortKind.TCP),
        # It speaks before it is asked, as no server of HTTP does; what it says has no end.
        ("127.0.0.1", 2, "floods", PortKind.TCP),
    ],
    ids=["own address", "http", "http by IPv6", "https by IPv6", "https", "greets", "silent", "hangs up", "floods"],
)
async def test_who_listens_and_what_is_spoken(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, *, address: str, family: int, kind: str, told: PortKind
) -> None:
    """Of both families, with the program, its command and its folder; it is gone once the program is."""
    monkeypatch.setattr(watch_module, "PROBES", 1)
    with ExitStack() as stack:
        port, pid, shim = stack.enter_context(program(address, kind, family=family, folder=certificate))
        async with watching(shim) as watch:
            found = await wait_for(watch, port, is_asked)
            assert found is not None
            assert (found.kind, found.addresses, found.pid) == (told, (address,), pid)
            assert (found.directory, found.process) == (str(certificate), PYTHON)
            assert found.command.startswith(sys.executable)
            assert found.reach is REACHES[address]
            stack.close()
            await wait_for(watch, port, lambda found: found is None)


async def test_on_a_shared_machine_a_container_sees_its_own() -> None:
    """What descends from its own shims, wherever it listens; another's program is nothing of it."""
    with program(MINE, "http") as (foreign, _, _), program("0.0.0.0", "http") as (own, _, shim):
        async with watching(shim) as watch:
            await wait_for(watch, own, is_asked)
            assert foreign not in {each.port for each in watch.ports()}


async def test_a_change_is_told_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One word for a port that comes, one for what it speaks, one for its end; none while all is as it was."""
    monkeypatch.setattr(watch_module, "LOOK_S", 0.02)
    told: list[int] = []
    with ExitStack() as stack:
        port, _, shim = stack.enter_context(program(MINE, "http"))
        async with watching(shim) as watch:
            watch.on_change = lambda: told.append(len(watch.ports()))
            await wait_for(watch, port, is_asked)
            assert told == [1, 1]
            await asyncio.sleep(0.5)
            assert told == [1, 1]
            stack.close()
            await wait_for(watch, port, lambda found: found is None)
    assert told == [1, 1, 0]


async def test_a_program_that_begins_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its process was not yet known to be anybody's when its socket was first seen."""
    looks: list[dict[int, Holder]] = []

    def finds_nobody_first(inodes: Collection[int], roots: Collection[int] | None) -> dict[int, Holder]:
        found = find_holders(inodes, roots)
        looks.append(found)
        return found if len(looks) > 2 else {}

    monkeypatch.setattr("zlh_agent.ports.watch.find_holders", finds_nobody_first)
    with program(MINE, "greets") as (port, _, shim):
        async with watching(shim) as watch:
            await wait_for(watch, port, lambda found: found is not None)


async def test_a_kernel_that_does_not_tell_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent goes on, and so does the watch."""
    real = ListeningList.fetch
    tries: list[int] = []

    def fails_first(kernel: ListeningList) -> tuple[bytes, ...]:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no such protocol")
        return real(kernel)

    monkeypatch.setattr(watch_module, "RETRY_S", 0.01)
    monkeypatch.setattr(ListeningList, "fetch", fails_first)
    with program(MINE, "greets") as (port, _, shim):
        async with watching(shim) as watch:
            await wait_for(watch, port, lambda found: found is not None)
    assert len(tries) > 1
