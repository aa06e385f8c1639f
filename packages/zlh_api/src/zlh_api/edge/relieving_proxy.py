"""The proxy with a remedy: where it takes up nothing any more, what stops it is moved out of its directory.

Traefik does not say why it reads none of its files. That it answers, and shows an earlier state although the file lies
there, is the sign; then one suspect at a time goes into the quarantine, until it loads or nothing is left that is not
known to be good.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from zlh_api.edge.model import ProxySeen, RouteFile
from zlh_api.edge.port import Proxy, RouteNotLoaded
from zlh_common.errors import ZlhError
from zlh_common.names import Protocol as GameProtocol

log = structlog.get_logger()
# A step that waits longer is given up by its worker, and the next try goes on where this one has left off.
MOST_TRIES = 3


class Relief(Protocol):
    """What can be done about the directory."""

    async def fetch(self, name: str) -> str | None:
        """Return the text of a file, or None."""
        ...

    async def relieve(self) -> bool:
        """Move away what may stop the proxy; return whether anything was moved that it has not shown its mind about."""
        ...


class RelievingProxy:
    """Asks the proxy, and clears its directory where it is stuck."""

    def __init__(self, proxy: Proxy, directory: Relief) -> None:
        self._proxy = proxy
        self._directory = directory

    async def fetch_seen(self) -> ProxySeen:
        """Return its version and every router that it lists; raise ProxyAway."""
        return await self._proxy.fetch_seen()

    async def wait_loaded(self, file: RouteFile) -> None:
        """Return when the proxy uses this version of the file; raise RouteNotLoaded."""

        async def is_written() -> bool:
            return await self._directory.fetch(file.name) == file.text

        await self._wait(lambda: self._proxy.wait_loaded(file), is_written)

    async def wait_unloaded(
        self, routers: tuple[str, ...], game_routers: tuple[tuple[GameProtocol, str], ...] = ()
    ) -> None:
        """Return when the proxy lists none of these routers; raise RouteNotLoaded."""

        async def is_written() -> bool:
            return True

        await self._wait(lambda: self._proxy.wait_unloaded(routers, game_routers), is_written)

    async def check_ready(self, host: str, vmid: int) -> None:
        """Ask through the public name."""
        await self._proxy.check_ready(host, vmid)

    async def check_game(self, host: str, port: int) -> None:
        """Ask a game server for its status as players do."""
        await self._proxy.check_game(host, port)

    async def _wait(self, wait: Callable[[], Awaitable[None]], is_written: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(MOST_TRIES):
            try:
                await wait()
            except RouteNotLoaded as stuck:
                if not stuck.is_behind or not await is_written() or not await self._relieve(stuck):
                    raise
            else:
                return
        await wait()

    async def _relieve(self, stuck: RouteNotLoaded) -> bool:
        try:
            return await self._directory.relieve()
        except ZlhError as error:
            log.warning("route.relief_failed", code=error.code, error=error.detail)
            raise RouteNotLoaded(f"{stuck.reason}, and its directory cannot be looked at: {error.detail}") from error
