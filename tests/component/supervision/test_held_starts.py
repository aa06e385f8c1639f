"""Starts that something else holds up: none begins meanwhile, whoever wants it, and it begins by itself afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.console.harness import eventually
from component.supervision.harness import Keeper, shell, wait_status
from zlh_agent.supervision.service import ProcessService
from zlh_common.schema.process import LogProbe, ProcessPolicy, ProcessReason, ReadyPolicy, RestartPolicy
from zlh_common.schema.status import ProcessStatus

REASON = ProcessReason(code="held_up", message="Something else is done first.")
SOON = ProcessPolicy(restart=RestartPolicy(delays_s=(0.05,) * 3))


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    """Return a place whose starts are held up."""
    keeper = Keeper(tmp_path)
    keeper.hold = lambda _name: REASON
    yield keeper
    await keeper.clear()


def let(keeper: Keeper, service: ProcessService) -> None:
    """Hold nothing up any more, and say so."""
    keeper.hold = lambda _name: None
    service.look_again("web")


def is_held(status: ProcessStatus) -> bool:
    """Tell whether it waits, with the reason."""
    return (status.state, status.pid, status.reason) == ("starting", None, REASON)


async def test_a_start_waits_and_goes_on_by_itself(keeper: Keeper) -> None:
    """What is wanted stands still with its reason, is not being started, and runs once it may."""
    service = await keeper.start(shell("sleep 1000"))
    await wait_status(service, is_held)
    assert not service.is_coming_up("web")
    await service.wait_settled("web")
    let(keeper, service)
    status = await wait_status(service, lambda status: status.state == "running")
    assert status.reason is None


async def test_a_restart_after_a_crash_waits_too(keeper: Keeper, tmp_path: Path) -> None:
    """It has run before; what restarts it by itself is held up like anybody."""
    keeper.hold = lambda _name: None
    marks = tmp_path / "marks"
    service = await keeper.start(shell(f"echo x >> {marks}; read line; exit 3", policy=SOON))
    await wait_status(service, lambda status: status.state == "running")
    keeper.hold = lambda _name: REASON
    assert await service.type_into("web", b"go\n")
    await wait_status(service, is_held)
    assert await asyncio.to_thread(marks.read_text) == "x\n"
    let(keeper, service)
    await wait_status(service, lambda status: status.state == "running")
    await eventually(lambda: marks.read_text() == "x\nx\n")


async def test_one_that_waits_is_switched_off_and_on(keeper: Keeper) -> None:
    """Off it is stopped without a reason, and stays so when nothing holds it up; on again it waits again."""
    service = await keeper.start(shell("sleep 1000"))
    await wait_status(service, is_held)
    await service.apply([shell("sleep 1000", power="off")])
    await wait_status(service, lambda status: (status.state, status.reason) == ("stopped", None))
    await service.apply([shell("sleep 1000", attempt=1)])
    await wait_status(service, is_held)
    await service.apply([shell("sleep 1000", power="off", attempt=1)])
    await service.wait_down("web")
    let(keeper, service)
    await service.apply([shell("sleep 1000", attempt=2)])
    await wait_status(service, lambda status: status.state == "running")


async def test_an_agent_that_follows_holds_it_up_as_well(keeper: Keeper) -> None:
    """Its predecessor went while the start waited."""
    first = await keeper.start(shell("sleep 1000"))
    await wait_status(first, is_held)
    await first.detach()
    second = await keeper.start(shell("sleep 1000"))
    await wait_status(second, is_held)
    let(keeper, second)
    await wait_status(second, lambda status: status.state == "running")


async def test_what_runs_and_is_not_ready_is_being_started(keeper: Keeper) -> None:
    """Until its line comes; whoever waits for that is told."""
    keeper.hold = lambda _name: None
    policy = ProcessPolicy(ready=ReadyPolicy(probe=LogProbe(pattern="up"), grace_s=600.0))
    service = await keeper.start(shell("read line; echo up; sleep 1000", policy=policy))
    await wait_status(service, lambda status: status.pid is not None)
    assert service.is_coming_up("web")
    settled = asyncio.create_task(service.wait_settled("web"))
    assert await service.type_into("web", b"go\n")
    await settled
    assert not service.is_coming_up("web")
    assert service.statuses()[0].ready
