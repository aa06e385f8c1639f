"""What the reconciler asks of the edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from zlh_api.edge.model import ProxySeen, RouteFile
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark
from zlh_common.names import Protocol as GameProtocol


class RouteFileForeign(ZlhError):
    """A file that is not ours has the name that we need."""

    code, status = "route_file_foreign", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"The proxy directory has a file {name} without our mark; it is left alone. Move it away.")


class RouteWriteFailed(ZlhError):
    """The proxy directory cannot be written."""

    code, status, retryable = "route_write_failed", 502, True

    def __init__(self, *, name: str, reason: str) -> None:
        super().__init__(f"The route file {name} cannot be written: {reason}.")


class RouteNotLoaded(ZlhError):
    """The proxy does not use the route file."""

    code, status, retryable = "route_not_loaded", 502, True

    def __init__(self, reason: str, *, is_behind: bool = False) -> None:
        super().__init__(f"The proxy has not taken up the route: {reason}.")
        self.reason = reason
        # It answers, and shows an earlier state of the directory: something there may keep it from reading any file.
        self.is_behind = is_behind


class NameNotAnswering(ZlhError):
    """A request through the public name did not reach us."""

    code, status, retryable = "name_not_answering", 502, True

    def __init__(self, *, url: str, reason: str) -> None:
        super().__init__(f"{url} does not answer as it should: {reason}.", url=url)


class GameNotAnswering(ZlhError):
    """A game server does not answer through its public port."""

    code, status, retryable = "game_not_answering", 502, True

    def __init__(self, *, host: str, port: int, reason: str) -> None:
        super().__init__(f"The game server does not answer at {host}:{port}: {reason}.", host=host, port=port)


class ProxyAway(ZlhError):
    """The proxy's own API does not answer."""

    code, status, retryable = "proxy_away", 502, True

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The proxy's API does not answer ({reason}), so nobody knows which routes it uses. "
            "Look whether it runs, and whether `traefik.api_url` names it."
        )


# Raises where whoever asked may do it no more: a worker that was frozen must not write what others have taken away.
Check = Callable[[], None]


def unconditional() -> None:
    """Let it be done: nobody else does the same."""


class RoutesUnreadable(ZlhError):
    """The proxy directory cannot be listed."""

    code, status, retryable = "routes_unreadable", 502, True

    def __init__(self, reason: str) -> None:
        super().__init__(f"The proxy directory cannot be listed: {reason}.")


@dataclass(frozen=True, slots=True)
class FoundRoute:
    """One file of a survey; without an owner it carries no mark of ours."""

    name: str
    owner: OwnerMark | None
    # Of its text; empty where that cannot be read.
    sha256: str
    # Why the proxy takes up no file as long as this one is there.
    trouble: str | None = None
    # Whether it is one that was moved out of the directory, since it stopped the proxy.
    is_quarantined: bool = False


class RouteDirectory(Protocol):
    """The directory of route files that only we write."""

    async def survey(self) -> list[FoundRoute]:
        """Return everything that lies there, strangers included; raise RoutesUnreadable."""
        ...

    async def fetch(self, name: str) -> str | None:
        """Return the text of a file, or None."""
        ...

    async def publish(self, file: RouteFile, *, check: Check = unconditional) -> None:
        """Put a file there, whole or not at all, and read it back; `check` directly before, in whatever thread."""
        ...

    async def withdraw(self, name: str, owner: str, *, check: Check = unconditional) -> None:
        """Take a file away that carries this owner mark, and `check` directly before; a file without it stays."""
        ...


class Proxy(Protocol):
    """The proxy itself, as its own API and its public side show it."""

    async def fetch_seen(self) -> ProxySeen:
        """Return its version and every router that it lists; raise ProxyAway."""
        ...

    async def wait_loaded(self, file: RouteFile) -> None:
        """Return when the proxy uses this version of the file; raise RouteNotLoaded."""
        ...

    async def wait_unloaded(
        self, routers: tuple[str, ...], game_routers: tuple[tuple[GameProtocol, str], ...] = ()
    ) -> None:
        """Return when the proxy lists none of these routers; raise RouteNotLoaded."""
        ...

    async def check_ready(self, host: str, vmid: int) -> None:
        """Ask for `/.zlh/ready` through the public name; raise NameNotAnswering."""
        ...

    async def check_game(self, host: str, port: int) -> None:
        """Ask a game server for its status as players do, at a port of the proxy; raise GameNotAnswering."""
        ...
