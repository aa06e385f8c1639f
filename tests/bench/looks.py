"""What a look of the process driver costs beside 10 and 100 running guests, each a process that carries its mark."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

from bench.measure import Case, Row, Run, Samples, ratio_at_most
from fakes.warrant import FakeWarrant
from zlh_api.containers.model import Guest
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.port import GuestPlan
from zlh_api.drivers.process import ProcessDriver
from zlh_api.marked_processes import find_marked
from zlh_common.names import CONTAINER_MARK, OwnerMark, Vmid
from zlh_common.schema.resources import Resources

COUNTS = (10, 100)
# An agent as the driver knows it: by its mark and its arguments.
_SLEEPER = ("-I", "-S", "-c", "import time; time.sleep(600)", "zlh_agent", "--config")


@asynccontextmanager
async def _guests(run: Run, count: int) -> AsyncIterator[tuple[ProcessDriver, list[GuestPlan]]]:
    """Yield a driver with so many guests that run."""
    settings = AgentSettings("http://127.0.0.1:9", 7443, ["stable"])
    driver = ProcessDriver(root=run.fresh_folder("looks"), settings=settings)
    plans = [
        GuestPlan(OwnerMark(str(uuid4())), Vmid(1000 + number), "dev", f"127.77.1.{number + 1}", Resources())
        for number in range(count)
    ]
    children = []
    try:
        for plan in plans:
            await driver.ensure_created(plan, FakeWarrant(plan))
            children.append(subprocess.Popen([sys.executable, *_SLEEPER], env={CONTAINER_MARK: plan.owner}))
        await asyncio.sleep(1)
        yield driver, plans
    finally:
        for child in children:
            child.kill()
            child.wait()


async def _look(driver: ProcessDriver, plans: list[GuestPlan]) -> float:
    """Look at every guest at once; return the milliseconds of processor for each."""
    began = time.process_time()
    seen = await asyncio.gather(*map(driver.observe, plans))
    if any(guest.state is not Guest.RUNNING for guest in seen):
        raise RuntimeError("a guest does not run")
    return (time.process_time() - began) * 1000 / len(plans)


async def _look_afresh(driver: ProcessDriver, plans: list[GuestPlan]) -> float:
    driver._agents.clear()
    return await _look(driver, plans)


async def _look_at_all_processes(plans: list[GuestPlan]) -> float:
    began = time.process_time()
    for plan in plans:
        await asyncio.to_thread(find_marked, CONTAINER_MARK, plan.owner)
    return (time.process_time() - began) * 1000 / len(plans)


async def looks(run: Run) -> list[Row]:
    """Looks at guests that are known, and as a process takes them that has just started."""
    rows: list[Row] = []
    for count in run.choose(COUNTS, COUNTS[:1]):
        async with _guests(run, count) as (driver, plans):
            sides = {
                "ours": partial(_look, driver, plans),
                "afresh": partial(_look_afresh, driver, plans),
                "each": partial(_look_at_all_processes, plans),
            }
            rows += _rows_of(await run.side_by_side(f"api.look.{count}", sides), count)
    return rows


def _rows_of(samples: Samples, count: int) -> list[Row]:
    unit, peer = "ms of CPU each", "all processes looked at for each guest"
    return [
        samples.row(f"api.look.{count}", unit, peer="each", peer_name=peer, budget=ratio_at_most(0.2)),
        samples.row(
            f"api.look.{count}.first",
            unit,
            side="afresh",
            peer="each",
            peer_name=peer,
            note="none of them is known yet",
        ),
    ]


CASES = (Case("api.look", "looks of the process driver at 10 and 100 guests", looks),)
