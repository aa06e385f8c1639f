"""What asking before each request costs: a guarded port and a public one of the same server, through one Traefik."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

import aiohttp
import asyncpg
from aiohttp import web

from bench.measure import Case, Row, Run, ratio_at_least
from bench.real_api import RealApi
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.customers.secret import new_secret
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteWish
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_common.names import HostName, OwnerMark, Vmid

REQUESTS = (2000, 200)
CLIENTS = 8
# Besides the one who asks: many sign-ins of many browsers at other hosts.
GRANTS = 10_000
_GRANTS = """
insert into access_grants (token_sha256, label, exposure_id, owner, port, session_id, customer_id, user_id, expires_at)
select $1, $2, e.id, e.owner, e.port, $3, $4, $5, now() + interval '8 hours' from exposures e where e.id = $6
"""
_OTHERS = """
insert into access_grants (token_sha256, label, exposure_id, owner, port, session_id, customer_id, user_id, expires_at)
select sha256(n::text::bytea), '1-dev-' || n, e.id, e.owner, e.port, $1, $2, $3, now() + interval '8 hours'
from exposures e, generate_series(1, $5::integer) n where e.id = $4
"""


@asynccontextmanager
async def _site(run: Run) -> AsyncIterator[tuple[RunningTraefik, int, int, str]]:
    """Yield the proxy, the ports that are guarded and public, and the cookie of who may open the first one."""
    api = RealApi.make(run)

    async def tell(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", tell)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for _ in range(2):
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        guarded, public = (address[1] for address in runner.addresses)
        async with api.database() as connection:
            await api.fill(connection, 1)
            vmid, cookie = await _sign_in(connection, api.customer, guarded, public)
            async with api.started():
                with running_traefik(run.fresh_folder("traefik"), games=0) as traefik:
                    ports = (ExposedPort(guarded, is_guarded=True), ExposedPort(public))
                    wish = RouteWish(OwnerMark(str(uuid4())), HostName("dev", Vmid(vmid)), "127.0.0.1", ports)
                    setting = ProxySetting("localhost", "web", api.url)
                    traefik.put_file(render_hosts_file(setting))
                    file = render_route_file(wish, setting)
                    traefik.put_file(file)
                    async with Traefik(api_url=traefik.api_url, web_url=traefik.web_url) as proxy:
                        await proxy.wait_loaded(file)
                    yield traefik, guarded, vmid, cookie
    finally:
        await runner.cleanup()


async def _sign_in(connection: asyncpg.Connection, customer: UUID, guarded: int, public: int) -> tuple[int, str]:
    """Publish two ports and sign in at the first; return the container's number and the cookie."""
    row = await connection.fetchrow("select owner, vmid from containers")
    assert row is not None
    user, session, exposure = await connection.fetchval("select id from users"), uuid4(), uuid4()
    token = new_secret("")
    await connection.execute(
        "insert into sessions (id, token_sha256, user_id, expires_at) values ($1, $2, $3, now() + interval '1 day')",
        session,
        new_secret("").digest,
        user,
    )
    for each, port, visibility in ((exposure, guarded, "private"), (uuid4(), public, "public")):
        await connection.execute(
            "insert into exposures (id, owner, port, visibility, published_by) values ($1, $2, $3, $4, $5)",
            each,
            row["owner"],
            port,
            visibility,
            user,
        )
    label = f"{guarded}-dev-{row['vmid']}"
    await connection.execute(_GRANTS, token.digest, label, session, customer, user, exposure)
    await connection.execute(_OTHERS, session, customer, user, exposure, GRANTS)
    await connection.execute("analyze access_grants, exposures")
    return row["vmid"], f"zlh_access={token.value}"


async def _ask(traefik: RunningTraefik, host: str, cookie: str, count: int) -> float:
    """Ask so often, with a few at a time; return requests a second."""
    headers = {"Host": host, "Cookie": cookie}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:

        async def go_on() -> None:
            for _ in range(count // CLIENTS):
                async with client.get(traefik.web_url, headers=headers) as answer:
                    if answer.status != 200:
                        raise RuntimeError(f"{host} answers {answer.status}")
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(go_on() for _ in range(CLIENTS)))
        return count / (time.perf_counter() - began)


async def access(run: Run) -> list[Row]:
    """Requests for a page that is answered at once, by somebody who is signed in at its host."""
    count = run.choose(*REQUESTS)
    async with _site(run) as (traefik, guarded, vmid, cookie):
        public = [name for name in traefik.list_routers("http") if name.endswith(f"-dev-{vmid}")]
        other = next(name for name in public if name.partition("-")[0] not in {str(guarded), "dev"})
        sides = {
            "ours": partial(_ask, traefik, f"{guarded}-dev-{vmid}.localhost", cookie, count),
            "public": partial(_ask, traefik, f"{other}.localhost", cookie, count),
        }
        samples = await run.side_by_side("edge.access", sides)
    note = f"of {GRANTS:,} sign-ins; {CLIENTS} clients, one machine for client, proxy, API, database and server"
    row = samples.row(
        "edge.access", "requests/s", peer="public", peer_name="a public port", budget=ratio_at_least(0.1), note=note
    )
    return [row]


CASES = (Case("edge.access", "requests for a guarded port and a public one, through Traefik", access),)
