"""The real Traefik with a static file of ours, web entry points by HTTP and HTTPS, and a small pool of game ports."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guards.ports import free_port
from real_parts.program import Program, listens
from zlh_api.dev.traefik import find_traefik
from zlh_api.edge.model import RouteFile
from zlh_api.edge.traefik_static import Acme, StaticSetting, WebEntry, render_static_file

# A whole list of routers in one answer.
ALL = "?per_page=10000"


@dataclass(frozen=True)
class RunningTraefik:
    """Where it listens; `program.stop()` and `program.start()` are how it fails and comes back."""

    directory: Path
    api_port: int
    web_port: int
    secure_port: int
    # Open for TCP and for UDP alike.
    game_ports: tuple[int, ...]
    program: Program

    @property
    def api_url(self) -> str:
        """Where it says what it has loaded."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def web_url(self) -> str:
        """Its public side by HTTP."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def secure_url(self) -> str:
        """Its public side by HTTPS."""
        return f"https://127.0.0.1:{self.secure_port}"

    def put(self, name: str, text: str) -> None:
        """Put a file into its directory, whole or not at all."""
        temporary = self.directory / f".{name}.new"
        temporary.write_text(text)
        temporary.rename(self.directory / name)

    def put_file(self, file: RouteFile) -> None:
        """Put a file of ours there."""
        self.put(file.name, file.text)

    def list_routers(self, protocol: str) -> dict[str, dict[str, Any]]:
        """Return the routers of its files by name."""
        with urllib.request.urlopen(f"{self.api_url}/api/{protocol}/routers{ALL}", timeout=10) as answer:
            return {
                router["name"].removesuffix("@file"): router
                for router in json.load(answer)
                if router["provider"] == "file"
            }


@contextlib.contextmanager
def running_traefik(
    folder: Path,
    *,
    trusted: tuple[str, ...] = (),
    games: int = 2,
    acme: Acme | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningTraefik]:
    """Run it with its state in `folder`; `environment` is that of the ACME provider."""
    directory = folder / "routes"
    directory.mkdir()
    api_port, web_port, secure_port = free_port(), free_port(), free_port()
    game_ports = tuple(free_port() for _ in range(games))
    setting = StaticSetting(
        str(directory),
        f"127.0.0.1:{api_port}",
        (
            WebEntry("web", f"127.0.0.1:{web_port}", trusted),
            WebEntry("websecure", f"127.0.0.1:{secure_port}", trusted),
        ),
        tuple((protocol, port) for port in game_ports for protocol in ("tcp", "udp")),
        games_host="127.0.0.1",
        acme=replace(acme, storage=str(folder / "acme.json")) if acme else None,
    )
    static = folder / "traefik.yml"
    static.write_text(render_static_file(setting))
    program = Program(
        (str(find_traefik()), f"--configFile={static}"),
        folder / "traefik.log",
        lambda: listens(api_port) and listens(secure_port),
        {"PATH": os.environ["PATH"], "HOME": str(folder), **(environment or {})},
        # It would wait for whoever still plays.
        stop_timeout_s=1.0,
    )
    with program.running():
        yield RunningTraefik(directory, api_port, web_port, secure_port, game_ports, program)
