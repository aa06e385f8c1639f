"""Looks at the nodes for whoever asks, and now and then by itself, so that it is known since when one is away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog

from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.drivers.port import ContainerDriver, NodeSeen
from zlh_api.nodes import store
from zlh_api.nodes.rules import Judged, Load, judge, place_numbers, render_node
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.nodes import NodeState, PlatformNodes
from zlh_common.schema.resources import Limits

log = structlog.get_logger()
LOOK_S = 30.0


class NodesService:
    """One for each API process; `run` keeps looking."""

    def __init__(self, database: Database, driver: ContainerDriver, limits: Limits, clock: Clock) -> None:
        self._database = database
        self._driver = driver
        self._limits = limits
        self._clock = clock

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except DatabaseUnavailable as error:
                log.warning("nodes.not_noted", error=error.detail)
            await self._clock.sleep(LOOK_S)

    async def look(self) -> PlatformNodes:
        """Return the nodes as they are now; where nobody can tell, those that were seen last."""
        try:
            nodes = await self._driver.list_nodes(self._limits.default)
        except ZlhError as error:
            return await self._tell_lost(error.detail)
        judged = {node.name: judge(node) for node in nodes}
        placed = place_numbers(nodes)
        async with self._database.connection() as connection:
            since = await store.note_states(connection, {name: each.state.value for name, each in judged.items()})
            loads = await store.fetch_loads(connection, placed)
        if placed is None:
            # All that there are are on the one.
            loads = {node.name: loads.get("", Load()) for node in nodes[:1]}
        return self._render(nodes, judged, since, loads)

    def _render(
        self,
        nodes: list[NodeSeen],
        judged: Mapping[str, Judged],
        since: Mapping[str, datetime],
        loads: Mapping[str, Load],
    ) -> PlatformNodes:
        now = self._clock.now()
        return PlatformNodes(
            driver=self._limits.driver,
            enforced=self._limits.enforced,
            nodes=tuple(
                # Another process may have found another state in this very moment.
                render_node(node, judged[node.name], since.get(node.name, now), loads.get(node.name, Load()))
                for node in nodes
            ),
            unplaced=sum(loads.get("", Load()).containers.values()),
            trouble=None,
        )

    async def _tell_lost(self, trouble: str) -> PlatformNodes:
        async with self._database.connection() as connection:
            known = await store.note_lost(connection)
        lost = Judged(NodeState.UNKNOWN, "Nobody could be asked how it is.")
        return PlatformNodes(
            driver=self._limits.driver,
            enforced=self._limits.enforced,
            nodes=tuple(
                render_node(NodeSeen(name, is_online=False), lost, since, Load()) for name, since in known.items()
            ),
            unplaced=0,
            trouble=trouble,
        )
