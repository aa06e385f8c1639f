"""Connections to a port are ended on the real kernel: as root by the kernel, as an ordinary user by their sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest

from zlh_agent.ports.diag_wire import IPV4
from zlh_agent.ports.kernel import KernelList
from zlh_agent.ports.service import CutNotPossible, PortService

# Root without any of its rights is as an ordinary user is, and can still read the interpreter.
RIGHTLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
# Takes connections for ever and says nothing; it is another process than the agent, as a customer's server is.
_SERVER = """
import socket, sys
s = socket.create_server((sys.argv[1], 0), family=int(sys.argv[2]), dualstack_ipv6=sys.argv[2] == "10")
print(s.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(s.accept()[0])
"""
# Cuts as an ordinary user.
_CUTTER = """
import asyncio, sys
from zlh_agent.ports.kernel import KernelList
from zlh_agent.ports.service import PortService, CutNotPossible
async def nothing(port):
    return 0
try:
    print(asyncio.run(PortService(sys.argv[1], nothing).cut(int(sys.argv[2]))).cut)
except CutNotPossible as refused:
    print(refused.code)
"""


async def nothing(_: int) -> int:
    """End what is passed on: there is nothing of it here."""
    return 0


@contextmanager
def server(address: str, family: int = IPV4, within: Sequence[str] = ()) -> Iterator[int]:
    """Run a server as a process of its own; yields its port."""
    child = subprocess.Popen(
        [*within, sys.executable, "-c", _SERVER, address, str(family)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()


def is_over(client: socket.socket) -> bool:
    """Tell whether the other end is gone, without waiting where it is not."""
    client.settimeout(0.3)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.real("root")
@pytest.mark.parametrize(("address", "family"), [("127.77.9.1", 2), ("::", 10)], ids=["ipv4", "mapped"])
async def test_the_kernel_ends_what_leads_to_its_own_address(address: str, family: int) -> None:
    """All that is connected is ended at once, what another address has goes on, and so does the listener."""
    with ExitStack() as stack:
        port = stack.enter_context(await asyncio.to_thread(lambda: server(address, family)))
        clients = [stack.enter_context(socket.create_connection(("127.77.9.1", port))) for _ in range(5)]
        other = stack.enter_context(socket.create_connection(("127.77.9.2" if family == 10 else "127.77.9.1", port)))
        cut = await PortService("127.77.9.1", nothing).cut(port)
        assert cut.cut == (5 if family == 10 else 6)
        assert all([await asyncio.to_thread(is_over, client) for client in clients])
        assert await asyncio.to_thread(is_over, other) is (family != 10)
        assert (await PortService("127.77.9.1", nothing).cut(port)).cut == 0
        again = stack.enter_context(socket.create_connection(("127.77.9.1", port)))
        assert not await asyncio.to_thread(is_over, again)


@pytest.mark.real("root")
async def test_in_a_container_its_own_programs_go_on() -> None:
    """Where the agent listens everywhere, what comes from the container's own addresses is none of the proxy's."""
    with ExitStack() as stack:
        port = stack.enter_context(await asyncio.to_thread(lambda: server("127.0.0.1")))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert (await PortService("0.0.0.0", nothing).cut(port)).cut == 0
        assert not await asyncio.to_thread(is_over, client)


@pytest.mark.real("root")
@pytest.mark.parametrize(("holder", "said"), [(RIGHTLESS, "1"), ((), "cut_not_possible")], ids=["own", "anothers"])
def test_an_ordinary_user_shuts_what_its_own_programs_hold(holder: Sequence[str], said: str) -> None:
    """Without any right over the network, sockets of one's own programs are shut; others' stay, and that is said."""
    with server("127.77.9.3", within=holder) as port, socket.create_connection(("127.77.9.3", port)) as client:
        client.settimeout(0.2)
        # It is taken up by its program before anybody is asked to end it.
        wait_taken(port)
        done = subprocess.run(
            [*RIGHTLESS, sys.executable, "-c", _CUTTER, "127.77.9.3", str(port)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.split()[-1:] == [said], done.stdout + done.stderr
        assert is_over(client) is (said == "1")


def wait_taken(port: int) -> None:
    """Return once no connection of the port waits to be taken up."""
    with closing(KernelList()) as kernel:
        while not all(each.inode for each in kernel.fetch(port)):
            os.sched_yield()


def test_what_cannot_be_listed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without this list is named as the reason, and nothing is called done."""

    def refuse(*_: object) -> None:
        raise OSError(93, "protocol not supported")

    monkeypatch.setattr("zlh_agent.ports.service.KernelList", refuse)
    with pytest.raises(CutNotPossible, match="not supported"):
        asyncio.run(PortService("127.77.9.1", nothing).cut(3000))
