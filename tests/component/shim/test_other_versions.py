"""Shims that an agent of another version has left: taken up, read, typed to, and ended, whichever came first."""

from __future__ import annotations

import pytest

from component.console.conftest import bench
from component.console.harness import Bench, eventually, look
from component.supervision.conftest import keeper
from component.supervision.harness import Keeper, shell, wait_status
from fakes.shims import NEWER, VERSION_1, OtherShims
from zlh_agent.shim.model import PROTOCOL_VERSION
from zlh_common.schema.console_wire import Exit, State
from zlh_common.schema.process import ProcessPolicy, StopPolicy

__all__ = ["bench", "keeper"]

VERSIONS = pytest.mark.parametrize(
    ("patch", "version"),
    [pytest.param(VERSION_1, PROTOCOL_VERSION - 1, id="former"), pytest.param(NEWER, PROTOCOL_VERSION + 1, id="newer")],
)


def slow_to_stop(keeper: Keeper) -> str:
    """A script that ends by itself when it is asked to, and writes a line once it can be."""
    return f"trap 'echo bye; exit 7' TERM; echo up >> {keeper.folder}/up; while :; do sleep 0.05; done"


async def wait_up(keeper: Keeper, times: int) -> None:
    """Return once so many starts can be asked to stop: until then a signal would simply end one."""
    up = keeper.folder / "up"
    await eventually(lambda: up.exists() and len(up.read_text().split()) == times)


@VERSIONS
async def test_a_shell_under_a_shim_of_another_version_goes_on(bench: Bench, patch: str, version: int) -> None:
    """Attached, seen from the beginning, typed to, sized, its end told, a new shell in its place, closed."""
    bench.starter = OtherShims(patch)
    former = await bench.start()
    screen = await look(former)
    await screen.viewer.write(b"echo be''fore\n")
    await screen.until(b"before")
    pid = former.rows()[0].pid
    former.detach()

    service = await bench.start()
    (row,) = service.rows()
    assert (row.state, row.pid) == ("running", pid)
    link = service._terminals["main"].link
    assert link is not None
    assert link.snapshot.version == version
    screen = await look(service, asked=0)
    await screen.until(b"before")
    screen.viewer.resize(91, 37)
    await screen.viewer.write(b"stty size; exit 4\n")
    await screen.until(b"37 91")
    assert await screen.to_end() == [State(state="exited"), Exit(code=4, signal=None)]
    screen = await look(service, asked=0)
    await screen.viewer.write(b"echo af''ter\n")
    await screen.until(b"before", b"after")
    assert service.rows()[0].pid != pid
    await service.close("main")
    assert bench.shims() == []


@VERSIONS
async def test_a_process_under_a_shim_of_another_version_goes_on(keeper: Keeper, patch: str, version: int) -> None:
    """The same child under the new agent; restarted, stopped with its signal, and killed with all it has started."""
    keeper.starter = OtherShims(patch)
    script = slow_to_stop(keeper)
    former = await keeper.start(shell(script))
    before = await wait_status(former, lambda status: status.state == "running")
    await wait_up(keeper, 1)
    await former.detach()

    service = await keeper.start(shell(script))
    after = await wait_status(service, lambda status: status.state == "running")
    assert (after.pid, after.restarts) == (before.pid, 0)
    service.restart("web")
    again = await wait_status(service, lambda status: status.state == "running" and status.pid != before.pid)
    assert (again.exit_code, again.restarts, again.reason) == (7, 0, None)
    await wait_up(keeper, 2)
    await service.apply([shell(script, power="off")])
    status = await wait_status(service, lambda status: status.state == "stopped")
    assert (status.exit_code, status.signal) == (7, None)
    stubborn = (
        f"trap '' TERM; (trap '' TERM; setsid sleep 1000 &); echo up >> {keeper.folder}/up; while :; do sleep 1; done"
    )
    policy = ProcessPolicy(stop=StopPolicy(grace_s=600))
    await service.apply([shell(stubborn, policy=policy, attempt=1)])
    await wait_status(service, lambda status: status.state == "running")
    await wait_up(keeper, 3)
    await service.apply([shell(stubborn, policy=policy, attempt=1, power="off")])
    await wait_status(service, lambda status: status.state == "stopping")
    service.kill("web")
    status = await wait_status(service, lambda status: status.state == "stopped")
    assert status.signal == "SIGKILL"
