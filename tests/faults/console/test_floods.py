"""Output without measure: floods, one line without end, bytes that are no text, sequences that never end."""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import sys
import time
from collections.abc import Sequence

import psutil
import pytest

from component.console.harness import Bench, Screen, look
from component.console.server import resident_bytes

MIB = 1024 * 1024
GROWTH_BYTES = 8 * MIB
# What another viewer may feel of it at most, and usually.
BEARABLE_S = 0.5
USUAL_S = 0.2


def printing(python: str) -> Sequence[str]:
    """A program that waits for a line, does that with `out`, and then says `end` and lives on."""
    begin = "import sys,time,random; out=sys.stdout.buffer; print('ready',flush=True); input(); "
    return (sys.executable, "-c", f"{begin}{python}\nout.write(b'en' + b'd!'); out.flush(); time.sleep(1000)")


FLOODS = {
    "a-line-of-a-gigabyte": ("x=b'x'*1048576\nfor _ in range(1024): out.write(x)", 1024 * MIB),
    "lines": ("x=(b'x'*79+b'\\n')*13107\nfor _ in range(150): out.write(x)", 150 * MIB),
    "binary": ("x=random.Random(1).randbytes(1048576)\nfor _ in range(60): out.write(x)", 60 * MIB),
    "zeros": ("x=bytes(1048576)\nfor _ in range(100): out.write(x)", 100 * MIB),
    "broken-utf-8": ("x=b'\\xff\\xc3(\\xf0\\x9f\\x98'*174763\nfor _ in range(60): out.write(x)", 60 * MIB),
    "sequences": (
        "x=(b'\\x1b]0;t'+b'\\x1b[999;999H\\x1b[2J\\x1b[6n')*52428\nfor _ in range(60): out.write(x)",
        60 * MIB,
    ),
    "single-bytes": ("import os\nfor _ in range(200000): os.write(1,b'y')", 200_000),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("python", "least_bytes"), FLOODS.values(), ids=FLOODS)
async def test_a_flood_is_seen_to_its_end_in_bounded_memory_and_felt_by_nobody_else(
    bench: Bench, python: str, least_bytes: int
) -> None:
    """Every byte is counted, the viewer gets or is told of each, another console echoes at once."""
    bench.argv = printing(python)
    service = await bench.start(ring_bytes=2 * MIB)
    flood = await look(service, asked=0)
    await flood.until(b"ready")
    (shim,) = bench.shims()
    bench.argv = ("/bin/cat",)
    other = await look(service, await service.open_terminal(80, 24))
    agent_before, shim_before = resident_bytes(), resident_bytes(shim)

    began = time.monotonic()
    await flood.viewer.write(b"\n")
    draining = asyncio.create_task(drain(flood))
    echoes, worked = [], []
    while not draining.done():
        began_work = time.thread_time()
        echoes.append(await echo_s(other))
        worked.append(time.thread_time() - began_work)
        await asyncio.sleep(0.02)
    took_s = time.monotonic() - began
    assert (await draining) >= least_bytes
    figures = {
        "MB/s": least_bytes / took_s / 1e6,
        "agent MiB": (resident_bytes() - agent_before) / MIB,
        "shim MiB": (resident_bytes(shim) - shim_before) / MIB,
        "shim RSS MiB": psutil.Process(shim).memory_info().rss / MIB,
        "echo ms": statistics.median(echoes) * 1000,
    }
    print({name: round(figure, 1) for name, figure in figures.items()})  # noqa: T201 - the figures of this machine
    assert figures["agent MiB"] * MIB < GROWTH_BYTES
    assert figures["shim MiB"] * MIB < GROWTH_BYTES
    # A single slow one by the clock may be the machine's, by what the loop has worked meanwhile it is ours.
    assert statistics.median(echoes) < USUAL_S
    assert max(worked) < BEARABLE_S
    for screen in (flood, other):
        screen.viewer.close()


async def test_bytes_that_are_no_text_come_through_as_they_are(bench: Bench) -> None:
    """Characters split over frames and broken ones: a console moves bytes, and makes nothing of them."""
    bench.argv = printing(
        "import tty\ntty.setraw(1)\nfor n in range(3000): out.write('ä€😀'.encode()+b'\\xff\\xc3'); out.flush()"
    )
    service = await bench.start()
    screen = await look(service, asked=0)
    await screen.until(b"ready")
    await screen.viewer.write(b"\n")
    data = await screen.until(b"end!")
    body = data[data.index("ä".encode()) : data.index(b"end!")]
    assert hashlib.sha256(body).digest() == hashlib.sha256(("ä€😀".encode() + b"\xff\xc3") * 3000).digest()
    history = await service.history("main", start=0, limit=100)
    assert history.text.startswith("ready")
    screen.viewer.close()


async def drain(screen: Screen) -> int:
    """Read to the end of the flood, keeping nothing; return up to which offset that went."""
    tail = b""
    while b"end!" not in tail:
        screen.data.clear()
        await screen._take()
        tail = (tail + screen.data)[-1000:]
    return screen.position


async def echo_s(screen: Screen) -> float:
    began = time.monotonic()
    screen.data.clear()
    await screen.viewer.write(b"k\n")
    await screen.until(b"k\r\nk\r\n")
    return time.monotonic() - began
