"""What it costs to prove again and again that names lead to their containers: real database, Traefik and endpoint.

Counted is the processor time of all that takes part: the prober, which shares its process with the API that answers for
the names, PostgreSQL and Traefik.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import asyncpg
import psutil

from bench.idle_containers import cpu_of, fill
from bench.measure import Case, Row, Run, at_most, read_cpu_s
from bench.real_api import RealApi
from fakes import api_world
from fakes.api_world import World
from guards.ports import free_port
from zlh_api.agents.authority import Authority
from zlh_api.audit.lease import PatrolLease
from zlh_api.database.pool import Database
from zlh_api.dev.traefik import TraefikProcess, TraefikSettings
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.proof.rules import WHOLE_EVERY
from zlh_api.proof.service import LOOK_S, Prober
from zlh_common.clock import SystemClock

COUNT, SAMPLE = 5000, 200


@dataclass
class _Place:
    """A prober that knows all containers, and who works for it."""

    world: World
    prober: Prober
    server: psutil.Process
    traefik: int

    def cpu_s(self) -> float:
        """Return what all of them have spent."""
        return cpu_of(self.server) + read_cpu_s(self.traefik)


@asynccontextmanager
async def _place(run: Run, count: int) -> AsyncIterator[_Place]:
    """Yield so many containers behind a real Traefik, all of them proved a moment ago."""
    api, folder = RealApi.make(run), run.fresh_folder("edge")
    settings = TraefikSettings(folder / "traefik", folder / "dynamic", free_port(), free_port())
    process = TraefikProcess(settings, folder / "run")
    async with api.database() as connection:
        database = Database(api.dsn)
        authority = await asyncio.to_thread(Authority, api.keys, SystemClock())
        world = World(database, api.dsn, run.fresh_folder("world"), authority)
        try:
            async with world.client() as client, Traefik(api_url=settings.api_url, web_url=settings.web_url) as proxy:
                api_world.PROXY = replace(api_world.PROXY, api_url=str(client.make_url("")).rstrip("/"))
                await fill(connection, world, api.customer, count)
                await world.routes.publish(render_hosts_file(api_world.PROXY))
                await asyncio.to_thread(_write_files, settings.dynamic_dir, world.routes.files)
                await process.start(timeout_s=120)
                world.proxy = proxy  # type: ignore[assignment] # the real one in place of the fake
                async with _proving(world, connection, count) as prober:
                    server = psutil.Process(await connection.fetchval("select pg_backend_pid()")).parent()
                    assert server is not None
                    assert process.child.pid is not None
                    yield _Place(world, prober, server, process.child.pid)
        finally:
            await process.stop()
            await world.close()
            await database.close()


@asynccontextmanager
async def _proving(world: World, connection: asyncpg.Connection, count: int) -> AsyncIterator[Prober]:
    """Yield a prober that has looked often enough to know every file, and that finds nobody due."""
    await connection.execute("insert into proofs (owner, checked_at) select owner, now() from containers")
    lease = PatrolLease(world.database)
    holding = asyncio.create_task(lease.run())
    try:
        await lease.wait_held()
        prober = world.prober(lease)
        await _wait_loaded(world, count)
        for _ in range(4):
            await prober.look()
        yield prober
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def _wait_loaded(world: World, count: int) -> None:
    async with asyncio.timeout(120):
        while len((await world.proxy.fetch_seen()).routers) <= count:
            await asyncio.sleep(0.2)


def _write_files(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


async def _look(place: _Place, hinted: int) -> float:
    """Look once, and at so many as a whole; return the milliseconds of processor."""
    rows = await place.world.fetch("select vmid from containers order by random() limit $1", hinted)
    for row in rows:
        place.prober.note_hint(str(row["vmid"]))
    before = place.cpu_s()
    await place.prober.look()
    spent = (place.cpu_s() - before) * 1000
    edge = await place.world.proofs.fetch_edge()
    if edge.outages or edge.faults or edge.asked < hinted:
        raise RuntimeError(f"not all is as it should be: {edge}")
    return spent


async def proof(run: Run) -> list[Row]:
    """A look at the routes of all, a container that is asked for by name, and what both take for long."""
    count, sample = run.choose((COUNT, SAMPLE), (100, 20))
    async with _place(run, count) as place:
        sides = {"routes": partial(_look, place, 0), "names": partial(_look, place, sample)}
        samples = await run.side_by_side("edge.proof", sides)
    for routes, names in zip(samples.figures["routes"], samples.figures["names"], strict=True):
        each = max(0.0, names - routes) / sample
        samples.add("each", each)
        samples.add("share", (routes / LOOK_S + each * count / WHOLE_EVERY.total_seconds()) / 10)
    return [
        samples.alone(
            "edge.proof.routes", f"ms of CPU for a look at {count}", side="routes", note=f"one every {LOOK_S:.0f} s"
        ),
        samples.alone(
            "edge.proof.name",
            "ms of CPU each",
            side="each",
            note=f"one of each container every {WHOLE_EVERY.total_seconds():.0f} s; the API's own answer included",
        ),
        samples.alone("edge.proof.share", f"% of a core for {count}", side="share", budget=at_most(15)),
    ]


CASES = (Case("edge.proof", "whether public names still lead to their containers: what proving it costs", proof),)
