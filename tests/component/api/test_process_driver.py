"""The `process` driver, with real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from fakes.warrant import FakeWarrant
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.port import GuestPlan
from zlh_api.drivers.process import ProcessDriver
from zlh_common.names import CONTAINER_MARK, OwnerMark, Vmid
from zlh_common.schema.resources import Resources

# A shim whose program takes its time.
_PATIENT = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
# As many as there are threads to wait in, and more.
_GUESTS = (os.cpu_count() or 1) + 8


@asynccontextmanager
async def _shim(owner: OwnerMark) -> AsyncIterator[None]:
    """Run a shim of a guest for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _PATIENT, "zlh-shim:web"),
        env={CONTAINER_MARK: owner},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        yield
    finally:
        process.kill()
        await process.communicate()


async def test_guests_that_take_their_time_to_stop_keep_no_thread(tmp_path: Path) -> None:
    """Sign-ins, files and all other guests need those."""
    driver = ProcessDriver(root=tmp_path, settings=AgentSettings("http://127.0.0.1:1", 7443, ("stable",)))
    owners = [OwnerMark(str(uuid4())) for _ in range(_GUESTS)]
    async with AsyncExitStack() as scope:
        await asyncio.gather(*(scope.enter_async_context(_shim(owner)) for owner in owners))
        stops = [
            asyncio.create_task(driver.ensure_stopped(plan, FakeWarrant(plan)))
            for plan in (
                GuestPlan(owner, Vmid(100 + number), "dev", None, Resources()) for number, owner in enumerate(owners)
            )
        ]
        await asyncio.sleep(1)
        async with asyncio.timeout(10):
            await asyncio.to_thread(os.getpid)
        assert not [stop.exception() for stop in stops if stop.done()]
        for stop in stops:
            stop.cancel()
        await asyncio.gather(*stops, return_exceptions=True)
