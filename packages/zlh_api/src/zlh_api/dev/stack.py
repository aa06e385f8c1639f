"""`make dev`: starts every part in order, shows what it does, keeps the parts running, and stops all of it.

    postgres ─┐
    artifacts ┼─ traefik ─ api ─ operator ─ dev.json ─ (Ctrl-C) ─ api ─ guests ─ traefik, artifacts ─ postgres
    portal ───┘

State is below `$ZLH_HOME`, and every part finds its own there again. Ctrl-C stops containers as a shutdown of the host
does: what customers want of them stays written, so the next start brings them up.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import aiohttp
import structlog
from rich.console import Console

from zlh_api.app.accounts import open_accounts
from zlh_api.app.driver import make_driver
from zlh_api.circuit import Circuits
from zlh_api.config.load import load_config
from zlh_api.config.model import ApiConfig
from zlh_api.customers.secret import Secret, new_api_token
from zlh_api.database.embedded.server import EmbeddedPostgres
from zlh_api.dev.child import ChildProcess, ChildSpec, end_leftovers
from zlh_api.dev.portal_build import PortalBuildFailed, build_portal, find_sources, is_built
from zlh_api.dev.ports import DevPorts, check_ports_free, environment_ports
from zlh_api.dev.progress import Progress
from zlh_api.dev.real_containers import (
    DevDriver,
    RealContainers,
    choose_driver,
    ensure_template,
    place_containers,
)
from zlh_api.dev.traefik import TraefikProcess, TraefikSettings
from zlh_common.clock import SystemClock
from zlh_common.durable_files import write_durably
from zlh_common.errors import ZlhError
from zlh_common.logs import configure_logs

log = structlog.get_logger()
POSTGRES_LOOK_S = 1.0
ADMIN_EMAIL = "admin@zlh.localhost"
CUSTOMER = "dev"
DOMAIN = "localhost"
# What a first start can bear. .NET's SDK and code-server, hundreds of megabytes each, are left to those who name them.
DEV_RECIPES = ("node", "go", "java", "python", "deno")
# Game servers that run without anybody's terms; packed once everything is up, since npm fetches 500 MB for one of them.
DEV_GAMES = ("flying-squid", "minetest")
ARTIFACTS = "Artifacts: runtimes, hashed and signed"
LEFT_OUT = "left out: "
BUILD_LOG = "artifacts-build.log"


class HomeNotWritable(ZlhError):
    """The folder of the installation's state cannot be written."""

    code, status = "home_not_writable", 500

    def __init__(self, *, home: Path, reason: str) -> None:
        super().__init__(f"{home} cannot be written ({reason}); choose another folder with ZLH_HOME=…", home=str(home))


class AlreadyRunning(ZlhError):
    """Another `make dev` has this folder."""

    code, status = "already_running", 500

    def __init__(self, home: Path) -> None:
        super().__init__(f"Another `make dev` runs with {home}; stop it, or choose another folder with ZLH_HOME=…")


@dataclass(frozen=True, slots=True)
class Home:
    """Where everything of one installation lies."""

    path: Path

    @property
    def logs(self) -> Path:
        """One log file per program."""
        return self.path / "logs"

    @property
    def children(self) -> Path:
        """Which programs of ours run, for the start after a crash."""
        return self.path / "children"

    @property
    def routes(self) -> Path:
        """Traefik's directory, which only the API writes."""
        return self.path / "routes"

    @property
    def artifacts(self) -> Path:
        """The plain tree that the artifact server serves."""
        return self.path / "artifacts"

    @property
    def artifact_keys(self) -> Path:
        """The keys that sign the catalog."""
        return self.path / "keys" / "artifacts"

    @property
    def config(self) -> Path:
        """The API's configuration."""
        return self.path / "api.toml"

    @property
    def dev_file(self) -> Path:
        """What tells programs where everything is, while it runs."""
        return self.path / "dev.json"

    @property
    def operator_file(self) -> Path:
        """The login that is made once."""
        return self.path / "operator.json"


async def run_stack(home_path: Path) -> int:
    """Run the platform until Ctrl-C; return the exit code."""
    home, ports = Home(home_path), environment_ports()
    began = time.monotonic()
    _prepare_home(home)
    with _only_one(home):
        driver = choose_driver(os.environ, home.path)
        check_ports_free(ports)
        configure_logs(stream=(home.path / "logs" / "dev.log").open("a", buffering=1))
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        console = Console()
        async with AsyncExitStack() as stack:
            with Progress(console) as progress:
                starting = asyncio.create_task(_start(home, ports, driver, stack, progress))
                if not await _finish_unless(stop, starting):
                    return 130
            parts = starting.result()
            games = [] if os.environ.get("ZLH_DEV_RECIPES", "").split() else [GamePacker(home, console)]
            _print_welcome(console, home, time.monotonic() - began, packs_games=bool(games))
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(part.supervise()) for part in (*parts, *games)]
                await stop.wait()
                for keeper in keepers:
                    keeper.cancel()
            console.print("\nStopping containers and services …")
        console.print("Stopped. Containers and data stay; `make dev` brings them back.")
    return 0


async def _finish_unless(stop: asyncio.Event, work: asyncio.Task[list[Part]]) -> bool:
    """Wait for `work`; False where the user wanted to stop first."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if work.done():
        work.result()
        return True
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return False


async def _start(
    home: Home, ports: DevPorts, driver: DevDriver, stack: AsyncExitStack, progress: Progress
) -> list[Part]:
    """Bring every part up in order; each pushes its own end onto `stack`."""
    await asyncio.to_thread(end_leftovers, home.children)
    postgres = EmbeddedPostgres(home.path / "postgres")
    stack.push_async_callback(postgres.stop)
    async with asyncio.TaskGroup() as group:
        address = group.create_task(progress.step("PostgreSQL", postgres.ensure_started()))
        group.create_task(progress.step(ARTIFACTS, _publish_artifacts(home, progress)))
        group.create_task(_build_portal(home, progress))
        real = group.create_task(_prepare_containers(home, driver, progress))
    config = _write_config(home, ports, address.result().dsn, real.result())
    guests = await asyncio.to_thread(make_driver, config, Circuits(SystemClock()))
    if real.result():
        # The artifact server listens on the bridge.
        await progress.step("Network of containers", guests.prepare())
    artifacts = _artifact_server(home, ports, real.result())
    traefik = _traefik(home, ports)
    for name, part in (("Artifact server", artifacts), ("Traefik", traefik)):
        stack.push_async_callback(part.stop)
        await progress.step(name, part.start())
    stack.push_async_callback(guests.ensure_all_stopped)
    api = _api(home, ports)
    stack.push_async_callback(api.stop)
    await progress.step("API", api.start())
    await progress.step("Login", _write_dev_file(home, ports, config))
    stack.callback(home.dev_file.unlink, missing_ok=True)
    keeper = PostgresKeeper(postgres)
    return [artifacts, traefik, api, keeper]


async def _prepare_containers(home: Home, driver: DevDriver, progress: Progress) -> RealContainers | None:
    """Return where real containers lie and what they are made of, or None where they are processes."""
    if driver == "process":
        return None
    template = await progress.step("Template of containers", asyncio.to_thread(ensure_template, os.environ, home.path))
    return place_containers(os.environ, home.path, template)


async def _publish_artifacts(home: Home, progress: Progress) -> None:
    """Make the signed tree; what is built stays built, and what cannot be had here is told and left out."""
    place = ["--dir", str(home.artifacts)]
    keys = ["--keys", str(home.artifact_keys)]
    await _command(home, "artifacts", "init", *place, *keys)

    def tell(line: str) -> None:
        if line.startswith(LEFT_OUT):
            progress.note(line.removeprefix(LEFT_OUT))
        else:
            progress.tell(ARTIFACTS, line)

    await _command(home, "artifacts", "build", *place, *_wanted_recipes(), tell=tell)
    await _command(home, "artifacts", "publish", *place, *keys)


def _wanted_recipes() -> list[str]:
    """Return what is packed: what the user names must be had, of our own choice what can be had here."""
    named = os.environ.get("ZLH_DEV_RECIPES", "").split()
    return named or ["--where-possible", *DEV_RECIPES]


async def _command(home: Home, *arguments: str, tell: Callable[[str], None] = lambda _line: None) -> None:
    """Run one of our own commands, and tell each line that it prints; raise CommandFailed with all of them.

    Whoever is cancelled ends it, with all that it has started.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        "-m",
        "zlh_api",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    assert child.stdout is not None
    printed: list[str] = []
    try:
        with (home.logs / BUILD_LOG).open("a", buffering=1) as log_file:
            async for line in child.stdout:
                printed.append(line.decode("utf-8", "replace"))
                log_file.write(printed[-1])
                tell(printed[-1].rstrip())
        await child.wait()
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGTERM)
            await child.wait()
    if child.returncode != 0:
        raise CommandFailed(command=" ".join(arguments[:2]), output="".join(printed))


class CommandFailed(ZlhError):
    """One of the commands that set the platform up failed."""

    code, status = "command_failed", 500

    def __init__(self, *, command: str, output: str) -> None:
        super().__init__(f"`zlh-api {command}` failed: {output.strip()[-1500:]}", output=output[-4000:])


async def _build_portal(home: Home, progress: Progress) -> None:
    """Build the portal where its sources have changed; without it the API still works, so a failure is only shown."""
    sources = find_sources()
    if sources is None or await asyncio.to_thread(is_built, sources):
        return
    try:
        await progress.step("Portal", build_portal(sources, tools=home.path / "tools"))
    except PortalBuildFailed as error:
        progress.note(f"{error.detail} The API works without it.")


class Part(Protocol):
    """A program that must run as long as the platform does."""

    async def supervise(self) -> None:
        """Keep it running."""
        ...


class Service:
    """One of our own programs: ready when a URL of it answers."""

    def __init__(self, home: Home, name: str, arguments: Sequence[str], *, url: str) -> None:
        argv = (sys.executable, "-m", "zlh_api", *arguments)
        spec = ChildSpec(name=name, argv=argv, log_file=home.logs / f"{name}.log")
        self._child = ChildProcess(spec, home.children)
        self._is_ready = _answers(url)

    async def start(self) -> None:
        """Start it and return when it answers."""
        await self._child.start()
        try:
            await self._child.wait_ready(self._is_ready)
        except BaseException:
            await self._child.stop()
            raise

    async def supervise(self) -> None:
        """Keep it running."""
        await self._child.supervise()

    async def stop(self) -> None:
        """End it; harmless where it never started."""
        await self._child.stop()


class PostgresKeeper:
    """PostgreSQL is no child of ours (it may outlive us and be adopted), so it is looked at instead of waited for."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres

    async def supervise(self) -> None:
        """Start it again whenever it has gone."""
        while True:
            await asyncio.sleep(POSTGRES_LOOK_S)
            try:
                if not await self._postgres.is_running():
                    log.warning("postgres.gone")
                    await self._postgres.ensure_started()
            except ZlhError as error:
                log.warning("postgres.restart_failed", code=error.code, error=error.detail)


class GamePacker:
    """Packs the game servers that are offered without being named, and publishes them; what is packed stays so."""

    def __init__(self, home: Home, console: Console) -> None:
        self._home = home
        self._console = console
        self._left_out: list[str] = []

    async def supervise(self) -> None:
        """Do it once, and say what came of it; without them everything else goes on."""
        place = ["--dir", str(self._home.artifacts)]
        try:
            build = ("artifacts", "build", *place, "--where-possible", *DEV_GAMES)
            await _command(self._home, *build, tell=self._note)
            await _command(self._home, "artifacts", "publish", *place, "--keys", str(self._home.artifact_keys))
        except CommandFailed as error:
            log.warning("games.not_packed", error=error.detail)
            self._say(f"Game servers could not be packed: {error.detail}")
            return
        for each in self._left_out:
            self._say(f"Left out: {each}")
        if len(self._left_out) < len(DEV_GAMES):
            self._say("Game servers are packed, and can be created.")

    def _note(self, line: str) -> None:
        if line.startswith(LEFT_OUT):
            self._left_out.append(line.removeprefix(LEFT_OUT))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _artifact_server(home: Home, ports: DevPorts, real: RealContainers | None) -> Service:
    host = real.gateway if real else "127.0.0.1"
    listen = ("--host", host, "--port", str(ports.artifacts))
    place = ("--dir", str(home.artifacts), "--keys", str(home.artifact_keys), *listen)
    url = f"http://{host}:{ports.artifacts}/healthz"
    return Service(home, "artifacts", ("artifacts", "serve", *place), url=url)


def _traefik(home: Home, ports: DevPorts) -> TraefikProcess:
    settings = TraefikSettings(
        state_dir=home.path / "traefik",
        dynamic_dir=home.routes,
        web_port=ports.web,
        api_port=ports.traefik_api,
        games=ports.games,
    )
    return TraefikProcess(settings, home.children)


def _api(home: Home, ports: DevPorts) -> Service:
    url = f"http://127.0.0.1:{ports.api}/api/version"
    return Service(home, "api", ("serve", "--config", str(home.config)), url=url)


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    async def is_ready() -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=2)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    return is_ready


# As much as a laptop shows the working of quotas with; an operator can give any customer more.
_QUOTA = """[quota]
containers = 20
cpu = 40
memory_mib = 40960
disk_mib = 204800
exposures = 50
members = 20
"""


def _write_config(home: Home, ports: DevPorts, dsn: str, real: RealContainers | None) -> ApiConfig:
    """Write the API's configuration, and read it back as the API will."""
    containers = real.render() if real else f"[process]\nroot = {json.dumps(str(home.path / 'containers'))}\n"
    artifacts_host = real.gateway if real else "127.0.0.1"
    text = (
        "# Written by `make dev` at every start; changes are lost.\n"
        f'driver = "{"lxc" if real else "process"}"\n'
        f"listen_port = {ports.api}\n"
        f'portal_url = "http://portal.{DOMAIN}:{ports.web}"\n'
        'trusted_proxies = ["127.0.0.1"]\n'
        f'container_domain = "{DOMAIN}"\ncontainer_scheme = "http"\ncontainer_port = {ports.web}\n'
        f"keys_dir = {json.dumps(str(home.path / 'keys' / 'agents'))}\n"
        f"state_dir = {json.dumps(str(home.path / 'state'))}\n"
        f"[database]\ndsn = {json.dumps(dsn)}\n"
        f'[artifacts]\nurl = "http://{artifacts_host}:{ports.artifacts}"\n'
        f"trusted_root = {json.dumps(str(home.artifact_keys / 'root.json'))}\n"
        f"folder = {json.dumps(str(home.artifacts))}\nkeys = {json.dumps(str(home.artifact_keys))}\n"
        f"{containers}"
        f"{_QUOTA}"
        f"[traefik]\ndirectory = {json.dumps(str(home.routes))}\n"
        f'api_url = "http://127.0.0.1:{ports.traefik_api}"\nweb_url = "http://127.0.0.1:{ports.web}"\n'
        f"{_render_games(ports.games)}"
        f"{render_mods(os.environ)}"
    )
    write_durably(home.config, text.encode())
    return load_config(home.config)


def render_mods(environment: Mapping[str, str]) -> str:
    """Return the table that has Modrinth, or who stands in for it, asked for mods; none without a contact."""
    if not (contact := environment.get("ZLH_MODS_CONTACT")):
        return ""
    section = f"[mods]\ncontact = {json.dumps(contact)}\n"
    if url := environment.get("ZLH_MODS_URL"):
        section += f"url = {json.dumps(url)}\n"
    if origins := environment.get("ZLH_MODS_FILE_ORIGINS", "").split():
        section += f"file_origins = {json.dumps(origins)}\n"
    return section


def _render_games(games: range) -> str:
    if not games:
        return ""
    pool = f'"{games.start}-{games.stop - 1}"'
    return f"[traefik.games]\ntcp = {pool}\nudp = {pool}\n"


async def _write_dev_file(home: Home, ports: DevPorts, config: ApiConfig) -> None:
    """Make sure that the operator can sign in, and tell programs how."""
    operator = _load_operator(home)
    async with open_accounts(config.database.dsn) as (accounts, _audit_log):
        await accounts.users.ensure_operator(
            email=operator["email"],
            password=Secret(operator["password"]),
            customer_name=CUSTOMER,
            api_token=Secret(operator["token"]),
        )
    document = {
        "apiUrl": config.api_url,
        "portalUrl": config.portal_url,
        "traefikUrl": f"http://127.0.0.1:{ports.web}",
        "adminEmail": operator["email"],
        "adminPassword": operator["password"],
        "adminToken": operator["token"],
    }
    write_durably(home.dev_file, (json.dumps(document, indent=2) + "\n").encode())


def _load_operator(home: Home) -> dict[str, str]:
    """Return the login of this installation, made on the first start."""
    if not home.operator_file.exists():
        fresh = {"email": ADMIN_EMAIL, "password": secrets.token_urlsafe(12), "token": new_api_token().value}
        write_durably(home.operator_file, json.dumps(fresh).encode())
    found: dict[str, str] = json.loads(home.operator_file.read_text())
    return found


def _print_welcome(console: Console, home: Home, seconds: float, *, packs_games: bool) -> None:
    dev = json.loads(home.dev_file.read_text())
    console.print(f"\n[bold green]ZLH is up[/] after {seconds:.1f} s.\n")
    for name, value in (
        ("Portal", dev["portalUrl"]),
        ("Sign in", f"{dev['adminEmail']}   password {dev['adminPassword']}"),
        ("API", f"{dev['apiUrl']}/api/docs"),
        ("For programs", str(home.dev_file)),
        ("Logs", str(home.logs)),
    ):
        console.print(f"  [dim]{name:<13}[/]{value}", highlight=False, soft_wrap=True)
    if packs_games:
        console.print("\n[dim]Game servers are being packed; this says when they can be created.[/]")
    console.print("\n[dim]`make demo` in another terminal shows it at work. Ctrl-C stops everything.[/]")


def _prepare_home(home: Home) -> None:
    try:
        home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.logs.mkdir(exist_ok=True)
        probe = home.path / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as exc:
        raise HomeNotWritable(home=home.path, reason=exc.strerror or str(exc)) from exc


class _Lock:
    """Held while this installation runs; the kernel lets go of it however the process ends."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_exception: object) -> None:
        self._file.close()


def _only_one(home: Home) -> _Lock:
    file = (home.path / "dev.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        file.close()
        raise AlreadyRunning(home.path) from exc
    return _Lock(file)
