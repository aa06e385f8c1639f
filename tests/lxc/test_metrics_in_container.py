"""Figures in a real container: the kernel's own account, with the limits that the host has set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lxc.guest import PATIENCE_S, Guest
from zlh_common.schema.metrics import Metrics
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.structs import decode

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
MIB = 1024 * 1024
# A child whose time only a control group knows: nobody waits for it, and it is gone.
PROGRAM = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    while time.process_time() < 1: pass
    os._exit(0)
held = bytearray(os.urandom(1 << 16)) * 3200
time.sleep(1000)
"""


async def wait_metrics(guest: Guest, is_so: Callable[[Metrics], bool]) -> Metrics:
    """Return the first sample that is so."""
    seen: Metrics | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                seen = decode(await guest.call("GET", "/metrics/now"), Metrics)
                if is_so(seen):
                    return seen
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"still {seen}") from None


def has_burnt(metrics: Metrics) -> bool:
    """Tell whether the child of the program has come and gone."""
    return (
        bool(metrics.processes) and metrics.processes[0].usage.processes == 1 and metrics.processes[0].usage.cpu_s > 1
    )


async def test_the_container_is_told_by_its_control_groups(guest: Guest) -> None:
    """Its memory with the limit, its tasks, its network, and the time of a child that nobody has waited for."""
    await guest.want(processes=(WantedProcess(name="web", argv=("/usr/bin/python3", "-c", PROGRAM)),))
    metrics = await wait_metrics(guest, has_burnt)
    container, (web,) = metrics.container, metrics.processes
    assert container.source in {"cgroup1", "cgroup2"}
    assert container.memory_limit_bytes == 1024 * MIB
    assert 200 * MIB < container.memory_bytes < 1024 * MIB
    assert web.usage.memory_bytes > 200 * MIB
    # The user is another than the agent, and all is known of it.
    assert None not in {
        web.usage.memory_proportional_bytes, web.usage.read_bytes, web.usage.written_bytes, web.usage.open_files,
    }  # fmt: skip
    assert container.cpu_s >= web.usage.cpu_s
    # systemd and its kin are in the container, and not in what the agent has started.
    assert container.processes >= 5
    assert (container.received_bytes or 0) > 0
    assert (container.sent_bytes or 0) > 0
    assert 0 < container.uptime_s < 240
    first = int(
        await guest.inside("cat", "/sys/fs/cgroup/pids/pids.current", "/sys/fs/cgroup/pids.current", check=False)
    )
    assert abs(container.processes - first) < 20


async def test_what_somebody_else_uses_counts_for_the_container_alone(guest: Guest) -> None:
    """A program that the agent did not start."""
    before = await wait_metrics(guest, lambda metrics: metrics.container.memory_bytes > 0)
    hog = "held = bytearray(b'x') * (128 << 20); import time; time.sleep(1000)"
    await guest.inside("systemd-run", "--quiet", "--unit=hog", "/usr/bin/python3", "-c", hog)
    after = await wait_metrics(
        guest, lambda metrics: metrics.container.memory_bytes > before.container.memory_bytes + 100 * MIB
    )
    assert after.processes == ()
    assert after.container.cpu_s > before.container.cpu_s
