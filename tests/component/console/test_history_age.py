"""Histories that nobody needs any more go; those of what runs or is looked at stay, however old."""

from __future__ import annotations

import os
import time
from pathlib import Path

from component.console.harness import Bench, eventually, look
from component.supervision.harness import Keeper, shell, wait_status
from zlh_common.schema.console_wire import Exit

MONTH_S = 31 * 86_400


def make_old(ring: Path) -> None:
    then = time.time() - MONTH_S
    os.utime(ring, (then, then))


async def test_the_history_of_a_shell_that_ended_goes_after_its_time(bench: Bench) -> None:
    """Not while somebody looks; `main` is made anew by the next who comes."""
    service = await bench.start()
    screen = await look(service)
    await screen.viewer.write(b"exit 3\n")
    assert (await screen.to_end())[-1] == Exit(code=3, signal=None)
    ring = bench.folder / "state/main/ring"
    await service.forget_old()
    assert ring.exists()
    make_old(ring)
    await service.forget_old()
    assert ring.exists(), "somebody looks at it"
    screen.viewer.close()
    await service.forget_old()
    assert service.rows() == ()
    assert not ring.parent.exists()
    again = await look(service, asked=0)
    assert again.viewer.hello.start == 0
    again.viewer.close()


async def test_the_history_of_a_shell_that_runs_stays_however_old(bench: Bench) -> None:
    """It may say something at last."""
    service = await bench.start()
    screen = await look(service)
    await screen.viewer.write(b"echo he''re\n")
    await screen.until(b"here")
    screen.viewer.close()
    make_old(bench.folder / "state/main/ring")
    await service.forget_old()
    assert [row.state for row in service.rows()] == ["running"]
    again = await look(service, asked=0)
    await again.until(b"here")
    again.viewer.close()


async def test_the_history_of_a_stopped_process_goes_and_its_state_stays(tmp_path: Path) -> None:
    """What ran last is still told; the next start begins a new history."""
    keeper = Keeper(tmp_path / "place")
    service = await keeper.start(shell("echo first; exit 0"))
    await wait_status(service, lambda status: status.state == "stopped")
    process = service._kept["web"].process
    await eventually(process._is_idle)
    ring = keeper.folder / "state/web/ring"
    make_old(ring)
    await process.forget_old()
    assert not ring.exists()
    assert (keeper.folder / "state/web/state.json").exists()
    assert service.statuses()[0].exit_code == 0
    assert (await service.history("web", start=None, limit=100)).written == 0
    await service.apply([shell("echo second; sleep 1000", attempt=1)])
    await wait_status(service, lambda status: status.state == "running")
    await eventually(lambda: b"second" in process.console.read(0, 100))
    make_old(ring)
    await process.forget_old()
    assert (await service.history("web", start=0, limit=100)).text.startswith("second")
    await keeper.clear()
