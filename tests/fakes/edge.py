"""The proxy's directory and the proxy itself, in memory."""

from __future__ import annotations

import json

from fakes.faults import Faults
from zlh_api.edge.model import ProxySeen, RouteFile, Router, text_sha256
from zlh_api.edge.port import (
    Check,
    FoundRoute,
    GameNotAnswering,
    NameNotAnswering,
    RouteFileForeign,
    RouteNotLoaded,
    unconditional,
)
from zlh_api.edge.traefik_file import parse_mark
from zlh_common.names import Protocol


class FakeRoutes:
    """Files by name."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.files: dict[str, str] = {}
        self.quarantined: list[str] = []

    async def survey(self) -> list[FoundRoute]:
        """Return all files, and those that were moved away."""
        async with self.faults.call("survey_routes"):
            here = [FoundRoute(name, parse_mark(text), text_sha256(text.encode())) for name, text in self.files.items()]
            return here + [FoundRoute(name, None, "", is_quarantined=True) for name in self.quarantined]

    async def fetch(self, name: str) -> str | None:
        """Return the text of a file, or None."""
        return self.files.get(name)

    async def validate(self) -> None:
        """Every file is ours."""

    async def publish(self, file: RouteFile, *, check: Check = unconditional) -> None:
        """Put a file there."""
        check()
        async with self.faults.call("publish"):
            present = self.files.get(file.name)
            if present is not None and parse_mark(present) != parse_mark(file.text):
                raise RouteFileForeign(file.name)
            self.files[file.name] = file.text

    async def withdraw(self, name: str, owner: str, *, check: Check = unconditional) -> None:
        """Take a file away that carries this mark."""
        check()
        async with self.faults.call("withdraw"):
            present = self.files.get(name)
            if present is not None and parse_mark(present) == owner:
                del self.files[name]


class FakeProxy:
    """Uses every file of the directory at once, unless it is told which of them it has not noticed."""

    def __init__(self, faults: Faults, routes: FakeRoutes) -> None:
        self.faults = faults
        self.routes = routes
        # Files whose routers it does not list, and hosts that lead nowhere.
        self.unseen: set[str] = set()
        self.silent: set[str] = set()
        # Public ports at which a game server was asked for, and those where none answers.
        self.asked_games: list[tuple[str, int]] = []
        self.silent_games: set[int] = set()

    async def fetch_seen(self) -> ProxySeen:
        """Return every router of every file."""
        async with self.faults.call("fetch_seen"):
            texts = [text for name, text in self.routes.files.items() if name not in self.unseen]
            documents = [json.loads(text.partition("\n")[2]) for text in texts]
            return ProxySeen(
                "0.0.0",
                {
                    (protocol, name): Router(router["service"], "enabled")
                    for document in documents
                    for protocol, section in document.items()
                    for name, router in section["routers"].items()
                },
            )

    async def is_alive(self) -> bool:
        """Tell whether it answers."""
        return True

    async def wait_loaded(self, file: RouteFile) -> None:
        """Return when this version of the file is used."""
        async with self.faults.call("wait_loaded"):
            if self.routes.files.get(file.name) != file.text:
                raise RouteNotLoaded("it has another file")

    async def wait_unloaded(
        self, routers: tuple[str, ...], game_routers: tuple[tuple[Protocol, str], ...] = ()
    ) -> None:
        """Return when none of these routers is listed."""
        async with self.faults.call("wait_unloaded"):
            names = (*routers, *(name for _protocol, name in game_routers))
            if any(f'"{name}":' in text for text in self.routes.files.values() for name in names):
                raise RouteNotLoaded("it still lists them")

    async def check_ready(self, host: str, vmid: int) -> None:
        """Ask through the public name."""
        async with self.faults.call("check_ready"):
            if host in self.silent or not any(f"Host(`{host}`)" in text for text in self.routes.files.values()):
                raise NameNotAnswering(url=f"http://{host}/", reason=f"nothing leads to {vmid}")

    async def check_game(self, host: str, port: int) -> None:
        """Ask a game server at one of the proxy's ports."""
        async with self.faults.call("check_game"):
            self.asked_games.append((host, port))
            if port in self.silent_games or not any(
                f'"game-tcp-{port}"' in text for text in self.routes.files.values()
            ):
                raise GameNotAnswering(host=host, port=port, reason="nothing is there")
