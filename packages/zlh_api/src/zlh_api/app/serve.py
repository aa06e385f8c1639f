"""One API process from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiohttp import web

from zlh_api.app.parts import Parts, make_due_work, make_endpoints, make_gate, make_limits, open_parts
from zlh_api.config.model import ApiConfig
from zlh_api.database.migrate import migrate
from zlh_api.listening import listen_error
from zlh_api.once.service import Once
from zlh_api.web.access_watch import AccessWatch
from zlh_api.web.client_address import parse_proxies
from zlh_api.web.connections import BoundedRunner, limits_of_this_process
from zlh_api.web.server import Entrance, build_application
from zlh_common.notify import extended_start

log = structlog.get_logger()


async def serve(config: ApiConfig, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Run one API process until `stop`; `ready` is called once it answers."""
    async with open_parts(config) as parts:
        await parts.driver.prepare()
        async with extended_start(), parts.database.connection() as connection:
            await migrate(connection)
        await parts.agents.rotation.start()
        await parts.artifacts.start()
        await parts.catalog.refresh()
        gate = make_gate(parts, config)
        watch = AccessWatch(gate.pass_again)
        limits = make_limits(parts, config)
        entrance = Entrance(gate, watch, limits, parts.audit_log, Once(parts.database), parts.request_figures)
        runner = BoundedRunner(
            build_application(
                make_endpoints(parts, config), entrance, trusted_proxies=parse_proxies(config.trusted_proxies)
            ),
            limits_of_this_process(),
            shutdown_timeout=2,
            handler_cancellation=True,
        )
        await runner.setup()
        try:
            await _listen(runner, config)
            log.info("api.started", url=config.api_url, driver=config.driver)
            ready()
            await _run_until(stop, parts, watch)
        finally:
            await runner.cleanup()
            await parts.audit_log.close()
            log.info("api.stopped")


async def _listen(runner: web.AppRunner, config: ApiConfig) -> None:
    try:
        await web.TCPSite(runner, config.listen_host, config.listen_port, backlog=1024).start()
    except OSError as exc:
        raise listen_error(exc, address=config.listen_host, port=config.listen_port, setting="listen_port") from exc


async def _run_until(stop: asyncio.Event, parts: Parts, watch: AccessWatch) -> None:
    def resume_all() -> None:
        watch.note_all()
        parts.upkeep.reconciler.wake()
        parts.links.wake()
        parts.agents.rotation.wake()
        parts.superseded.note()
        parts.cuts.wake()
        parts.rollouts.wake()
        for work in due.values():
            work.wake()

    due = make_due_work(parts)
    channels: dict[str, Callable[[str], None]] = {
        # Before the changes of containers: what is shown of those depends on who may see it.
        "access_changed": watch.note_change,
        "container_due": parts.upkeep.reconciler.wake,
        "container_changed": parts.wishes.live.note_change,
        "container_happened": parts.wishes.live.note_happening,
        "link_due": parts.links.wake,
        "patrol_due": parts.upkeep.patrol.look_now,
        "proof_due": parts.upkeep.prober.look_now,
        "proof_hinted": parts.upkeep.prober.note_hint,
        "authority_changed": parts.agents.rotation.wake,
        "identity_changed": parts.superseded.note,
        "cut_due": parts.cuts.wake,
        "rollout_due": parts.rollouts.wake,
        "rollout_changed": parts.wishes.live.note_rollout,
        **{channel: work.wake for channel, work in due.items()},
    }
    async with asyncio.TaskGroup() as group:
        loops = [
            group.create_task(parts.database.listen(channels, on_connect=resume_all)),
            group.create_task(watch.run()),
            group.create_task(parts.catalog.run()),
            group.create_task(parts.artifacts.run()),
            group.create_task(parts.links.run()),
            group.create_task(parts.wishes.history.run()),
            group.create_task(parts.wishes.accounts.last_use.run()),
            group.create_task(parts.upkeep.reconciler.run()),
            group.create_task(parts.upkeep.patrol.run()),
            group.create_task(parts.upkeep.prober.run()),
            group.create_task(parts.audit_log.run()),
            group.create_task(parts.platform_routes.run()),
            group.create_task(parts.directory_watch.run()),
            group.create_task(parts.agents.rotation.run()),
            group.create_task(parts.superseded.run()),
            group.create_task(parts.attempts.run()),
            group.create_task(parts.nodes.run()),
            group.create_task(parts.cuts.run()),
            group.create_task(parts.rollouts.run()),
            *(group.create_task(work.run()) for work in due.values()),
        ]
        await stop.wait()
        for loop in loops:
            loop.cancel()
