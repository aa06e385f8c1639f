"""When a process counts as ready, when as hung, and what stands in the way of its start: real sockets, real output."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from component.supervision.harness import Keeper, shell, wait_status
from fakes.clock import ScaledClock
from guards.ports import free_port
from zlh_agent.supervision.probes import ask
from zlh_common.schema.process import (
    HangPolicy,
    HttpProbe,
    LogProbe,
    PingProbe,
    Probe,
    ProcessPolicy,
    ReadyPolicy,
    TcpProbe,
    WantedProcess,
)
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.structs import decode, encode
from zlh_common.status_ping import render_varint

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# Listens when the file `open` appears, and hangs up on nobody.
SERVER = """
import pathlib, socket, sys, time
folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
while not (folder / "open").exists():
    time.sleep(0.01)
listener = socket.create_server(("127.0.0.1", port))
held = []
while True:
    held.append(listener.accept())
"""

# Holds a port, under a name that is no UTF-8.
HOLDER = """
import pathlib, socket, sys, time
pathlib.Path("/proc/self/comm").write_bytes(b"web\\xff")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("bound", flush=True)
time.sleep(1000)
"""


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    keeper = Keeper(tmp_path / "place")
    yield keeper
    await keeper.clear()


@pytest.fixture
def port() -> int:
    return free_port()


async def ask_server(probe: Callable[[int], Probe], answer: Answer) -> str | None:
    """Return what asking says about a server that answers each connection so."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        return await ask(probe(server.sockets[0].getsockname()[1]), "127.0.0.1")


def send(data: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


def ping_answer() -> bytes:
    text = json.dumps({"version": {"name": "1.21.4"}, "description": "x" * 5000}).encode()
    body = b"\x00" + render_varint(len(text)) + text
    return render_varint(len(body)) + body


@pytest.mark.parametrize(
    ("probe", "data", "failure"),
    [
        (lambda port: HttpProbe(port=port), b"HTTP/1.1 200 OK\r\n\r\n", None),
        (lambda port: HttpProbe(port=port, path="/up"), b"HTTP/1.0 302 Found\r\nLocation: /login\r\n\r\n", None),
        (lambda port: HttpProbe(port=port), b"HTTP/1.1 503 Busy\r\n\r\n", "status 503"),
        (lambda port: HttpProbe(port=port), b"SSH-2.0-x\r\n", "does not speak HTTP"),
        (lambda port: HttpProbe(port=port), b"", "does not speak HTTP"),
        (lambda port: HttpProbe(port=port), b"H" * 200_000, "no end"),
        (lambda port: HttpProbe(port=port), b"HTTP/1.1 \xb2\xb3 OK\r\n\r\n", "does not speak HTTP"),
        (lambda port: HttpProbe(port=port), b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n", "does not speak HTTP"),
        (lambda port: PingProbe(port=port), ping_answer(), None),
        (lambda port: PingProbe(port=port), ping_answer()[:40], "without a status"),
        (lambda port: PingProbe(port=port), b"HTTP/1.1 400 Bad\r\n\r\n" + b" " * 200, "Minecraft"),
    ],
)
async def test_an_answer_counts_or_says_why_not(
    probe: Callable[[int], Probe], data: bytes, failure: str | None
) -> None:
    """In words that stand behind 'it has not answered'."""
    said = await ask_server(probe, send(data))
    assert said is None if failure is None else failure in (said or "")


async def test_where_nobody_listens_the_reason_is_the_kernels(port: int) -> None:
    """For every probe that dials."""
    for probe in (TcpProbe(port=port), HttpProbe(port=port), PingProbe(port=port)):
        assert "refused" in (await ask(probe, "127.0.0.1") or "")


async def test_it_is_starting_until_its_port_answers(keeper: Keeper, tmp_path: Path, port: int) -> None:
    """Running is not ready."""
    policy = ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=port)))
    service = await keeper.start(server(tmp_path, port, policy))
    status = await wait_status(service, lambda status: status.pid is not None)
    assert (status.state, status.ready) == ("starting", False)
    (tmp_path / "open").touch()
    await wait_status(service, lambda status: status.state == "running" and status.ready)


async def test_another_probe_counts_at_once(keeper: Keeper, tmp_path: Path, port: int) -> None:
    """A probe that could never be answered is corrected without a restart."""
    (tmp_path / "open").touch()
    service = await keeper.start(server(tmp_path, port, ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=1)))))
    before = await wait_status(service, lambda status: status.pid is not None)
    for probe in (LogProbe(pattern="never"), TcpProbe(port=port)):
        assert not service.statuses()[0].ready
        await service.apply([server(tmp_path, port, ProcessPolicy(ready=ReadyPolicy(probe=probe)))])
    after = await wait_status(service, lambda status: status.ready)
    assert (after.pid, after.restarts) == (before.pid, 0)


async def test_a_line_of_the_output_makes_it_ready(keeper: Keeper) -> None:
    """A line of this run: one of the run before says nothing."""
    policy = ProcessPolicy(ready=ReadyPolicy(probe=LogProbe(pattern="up in * s")))
    once = "test -e /proc/self && echo 'up in 1.5 s'; read answer; echo ready; read answer"
    service = await keeper.start(shell(once, policy=policy))
    await wait_status(service, lambda status: status.ready)
    await service.apply([shell("sleep 1000", policy=policy, attempt=1)])
    service.restart("web")
    status = await wait_status(service, lambda status: status.pid is not None and status.state == "starting")
    assert not status.ready


async def test_a_slow_start_is_told_and_goes_on(keeper: Keeper, port: int) -> None:
    """The grace is for the report; the process is left alone."""
    keeper.clock = ScaledClock(100)
    policy = ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=port), grace_s=30))
    service = await keeper.start(shell("sleep 1000", policy=policy))
    status = await wait_status(service, lambda status: status.reason is not None)
    assert status.reason is not None
    assert (status.reason.code, status.state) == ("start_slow", "starting")


async def test_one_that_hangs_is_started_again_where_the_policy_says_so(
    keeper: Keeper, tmp_path: Path, port: int
) -> None:
    """Stopped in order, counted as a crash, with the reason told."""
    keeper.clock = ScaledClock(50)
    policy = ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=port)), hang=HangPolicy(after_s=1, action="restart"))
    (tmp_path / "open").touch()
    # It answers for a moment and then never again.
    command = f"timeout 1 {sys.executable} -c '{SERVER}' {tmp_path} {port}; sleep 1000"
    service = await keeper.start(shell(command, policy=policy))
    await wait_status(service, lambda status: status.ready)
    status = await wait_status(service, lambda status: status.state == "backoff")
    assert status.reason is not None
    assert status.reason.code == "not_answering"


async def test_a_port_that_somebody_holds_is_named_and_nothing_is_started(keeper: Keeper, port: int) -> None:
    """It waits for the port first; then the start fails with the holder's name and is tried again."""
    keeper.clock = ScaledClock(100)
    with socket.create_server(("127.0.0.1", port)):
        service = await keeper.start(shell("echo never", policy=ProcessPolicy(ports=(port,))))
        status = await wait_status(service, lambda status: status.state == "backoff")
    assert status.reason is not None
    assert status.reason.code == "port_busy"
    assert str(port) in status.reason.message
    assert (await service.history("web", start=None, limit=100)).written == 0
    await wait_status(service, lambda status: status.state != "backoff")
    await wait_status(service, lambda status: status.exit_code == 0)


async def test_a_holder_whose_name_is_no_text_is_named_as_far_as_it_goes(keeper: Keeper, port: int) -> None:
    """A program calls itself what it likes, and what keeps and tells the reason takes text only."""
    keeper.clock = ScaledClock(100)
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"bound\n"
        service = await keeper.start(shell("true", policy=ProcessPolicy(ports=(port,))))
        status = await wait_status(service, lambda status: status.state == "backoff")
    finally:
        holder.kill()
        await holder.wait()
    told = decode(encode(status), ProcessStatus).reason
    assert told is not None
    assert f"web\N{REPLACEMENT CHARACTER} (pid {holder.pid})" in told.message


async def test_a_start_waits_for_the_port_of_the_run_before(keeper: Keeper, tmp_path: Path, port: int) -> None:
    """A restart of a server never fails since its own port is not free yet."""
    (tmp_path / "open").touch()
    policy = ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=port)), ports=(port,))
    service = await keeper.start(server(tmp_path, port, policy))
    first = await wait_status(service, lambda status: status.ready)
    service.restart("web")
    second = await wait_status(service, lambda status: status.ready and status.pid != first.pid)
    assert (second.restarts, second.reason) == (0, None)


def server(folder: Path, port: int, policy: ProcessPolicy) -> WantedProcess:
    """A server that listens once the file `open` is in the folder."""
    return WantedProcess(name="web", argv=(sys.executable, "-c", SERVER, str(folder), str(port)), policy=policy)
