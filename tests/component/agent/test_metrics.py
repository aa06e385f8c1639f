"""Real processes that burn, hold and write, and what a real agent says that they use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from component.agent.harness import AgentProcess, eventually
from zlh_common.schema.metrics import Metrics, ProcessMetrics
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.structs import decode, encode

MIB = 1024 * 1024
# Whoever reads /proc line by line, up to the first bracket or as UTF-8 stumbles over this name.
HOSTILE_NAME = "open('/proc/self/comm', 'wb').write(b'a) R 1\\n(\\xff')\n"
BUSY = (
    "import os, threading, time\n"
    + HOSTILE_NAME
    + """
if os.fork() == 0:
    # Lost by its parent, as daemons are: it stays below the shim all the same.
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
os.wait()
if os.fork() == 0:
    while time.process_time() < 0.5:
        pass
    os._exit(0)
os.wait()
while time.process_time() < 0.3:
    pass
held = bytearray(os.urandom(1 << 16)) * 1024
files = [open('/dev/null') for _ in range(20)]
for _ in range(4):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
with open('written', 'wb') as file:
    file.write(bytes(8 << 20))
    file.flush()
    os.fsync(file.fileno())
print('ready', flush=True)
time.sleep(1000)
"""
)


async def want(agent: AgentProcess, *processes: WantedProcess) -> None:
    """Put a spec with these processes."""
    agent.generation += 1
    code, body = await agent.call(
        "PUT", "/spec", data=encode(AgentSpec(generation=agent.generation, processes=processes))
    )
    assert code == 202, body


def python(program: str, name: str = "busy") -> WantedProcess:
    return WantedProcess(name=name, argv=("python3", "-c", program))


@pytest.fixture
async def running(agent: AgentProcess) -> AsyncIterator[AgentProcess]:
    """An agent whose processes end with the test."""
    yield agent
    await want(agent)
    await agent.until(lambda status: not status.processes)
    await eventually(lambda: not list((agent.root / "run/zlh/processes").glob("*.sock")))


async def metrics_of(agent: AgentProcess) -> Metrics:
    code, body = await agent.call("GET", "/metrics/now")
    assert code == 200, body
    return decode(body, Metrics)


async def wait_process(agent: AgentProcess, is_so: Callable[[ProcessMetrics], bool]) -> Metrics:
    """Return the first sample in which the only process is so."""
    seen: list[Metrics] = []

    async def look() -> bool:
        seen[:] = [await metrics_of(agent)]
        return bool(seen[0].processes) and is_so(seen[0].processes[0])

    await eventually(look, explain=lambda: repr(seen))
    return seen[0]


async def test_everything_that_a_process_uses_is_told(running: AgentProcess) -> None:
    """Its own time and that of its children that have ended, its memory, threads, files and disk."""
    await want(running, python(BUSY))
    sample = await wait_process(running, lambda process: process.usage.threads >= 6)
    (process,) = sample.processes
    usage = process.usage
    status = await running.status()
    assert (process.name, process.kind, process.pid) == ("busy", "process", status.processes[0].pid)
    assert 0.75 <= usage.cpu_s < 20
    assert usage.memory_bytes >= 64 * MIB
    assert usage.memory_proportional_bytes is not None
    assert usage.memory_proportional_bytes >= 64 * MIB
    assert usage.open_files is not None
    assert usage.open_files >= 20
    # The program with its four threads, and the child that it has lost.
    assert (usage.processes, usage.threads) == (2, 6)
    wrote = await wait_process(running, lambda process: (process.usage.written_bytes or 0) >= 8 * MIB)
    container = wrote.container
    assert (container.source, container.received_bytes, container.sent_bytes) == ("processes", None, None)
    assert container.memory_bytes >= wrote.processes[0].usage.memory_bytes
    assert container.cpu_s >= wrote.processes[0].usage.cpu_s
    assert container.disk_total_bytes is not None
    assert 0 < (container.disk_used_bytes or 0) < container.disk_total_bytes


async def test_a_share_is_that_of_the_time_between_two_samples(running: AgentProcess) -> None:
    """A loop takes a core as far as the machine lets it, and one that sleeps takes none."""
    await want(running, python("while True: pass"))
    first = await wait_process(running, lambda _process: True)
    await asyncio.sleep(2)
    second = await metrics_of(running)
    seconds = (second.observed_at - first.observed_at).total_seconds()
    used_s = second.processes[0].usage.cpu_s - first.processes[0].usage.cpu_s
    share = second.processes[0].usage.cpu_cores
    assert share is not None
    assert 0.1 < share <= 1.1
    assert share == pytest.approx(used_s / seconds, rel=0.1, abs=0.02)


async def test_totals_go_on_through_a_restart_and_never_fall(running: AgentProcess) -> None:
    """Through children that nobody waits for, too."""
    enough = running.folder / "enough"
    burn = "import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    burn += f"if os.fork() == 0:\n    while not os.path.exists({str(enough)!r}): pass\n    os._exit(0)\n"
    await want(running, python(burn + "time.sleep(1000)"))
    seen = [0.0]

    async def wait_more(pid_before: int | None) -> int:
        """Return the pid once half a second more was used, by a child that has gone by then."""
        before = seen[-1]

        def never_falls(process: ProcessMetrics) -> bool:
            seen.append(process.usage.cpu_s)
            assert seen == sorted(seen)
            return process.pid != pid_before and process.usage.cpu_s >= before + 0.5

        await wait_process(running, never_falls)
        enough.touch()
        sample = await wait_process(running, lambda process: never_falls(process) and process.usage.processes == 1)
        enough.unlink()
        return sample.processes[0].pid

    first = await wait_more(None)
    await running.call("POST", "/processes/busy/restart")
    await wait_more(first)


async def test_those_who_ask_at_once_share_one_look(running: AgentProcess) -> None:
    """However many they are, the kernel is asked twice a second at most."""
    answers = await asyncio.gather(*(metrics_of(running) for _ in range(50)))
    assert len({answer.observed_at for answer in answers}) <= 3


async def test_prometheus_can_read_it(running: AgentProcess) -> None:
    """The same figures, as its own parser understands them."""
    await want(running, python("import time; time.sleep(1000)", name="web"))
    await wait_process(running, lambda process: process.usage.processes == 1)
    code, body = await running.call("GET", "/metrics")
    assert code == 200
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    (sample,) = families["zlh_process_processes"].samples
    assert (sample.labels, sample.value) == ({"name": "web", "kind": "process"}, 1)
    assert families["zlh_container_uptime_seconds"].samples[0].value > 0


async def test_a_terminal_is_told_as_one(running: AgentProcess) -> None:
    """By its id, for as long as its shell runs."""
    code, body = await running.call("POST", "/terminals")
    assert code == 201
    name = decode(body, dict[str, str])["id"]
    sample = await wait_process(running, lambda process: process.usage.processes >= 1)
    assert [(process.kind, process.name) for process in sample.processes] == [("terminal", name)]
    assert (await running.call("DELETE", f"/terminals/{name}"))[0] == 204
    await asyncio.sleep(0.6)
    assert (await metrics_of(running)).processes == ()
