"""A PostgreSQL of our own, for a laptop and for tests: no TCP, no password, nobody but its owner gets in.

    <data dir>/cluster          the database cluster (PGDATA)
    <data dir>/initdb.tmp       a cluster in the making; one rename makes it `cluster`, with role and database inside
    <data dir>/postgres.log     what the server says
    <socket dir>                a short path, since a socket's name has at most 107 bytes; 0700, owned by the server

Peer authentication maps the operating system user to the role `zlh`, which owns the database `zlh` and is no superuser.
PostgreSQL refuses to run as root: there it runs as the owner of the data folder (`postgres`, else `nobody`, for a new
one), with the one capability to pass folders of root that lie above it, and only where they do lie there.

A server that outlived its starter is adopted. It is known by its pid and by its working folder, never by a pid alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import select
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from zlh_api.database.embedded.errors import (
    DatabaseBinariesMissing,
    DatabaseDiskFull,
    DatabaseFolderUnusable,
    DatabaseStartFailed,
    DatabaseVersionMismatch,
)
from zlh_api.database.embedded.files import (
    read_tail,
    read_text,
    remove_tree,
    try_lock,
    working_folder,
    works_in,
    write_owned,
)
from zlh_api.database.embedded.runner import (
    Runner,
    choose_runner,
    ensure_socket_dir,
    find_bindir,
    last_line,
    read_major,
    remove_socket_dir,
    run_program,
)
from zlh_api.database.embedded.settings import (
    PORT,
    SUPERUSER,
    DatabaseAddress,
    PostmasterFile,
    parse_postmaster_file,
    render_hba,
    render_ident,
    render_role_sql,
    render_settings,
)
from zlh_common.durable_files import rename_durably

log = structlog.get_logger()
OLDEST_MAJOR = 15
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
_LOG_LIMIT = 10_000_000


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
            major = await read_major(bindir, runner)
            await asyncio.to_thread(self._check_version, major)
            if not await asyncio.to_thread(self._cluster.exists):
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

    def _prepare(self, bindir: Path) -> Runner:
        missing = [name for name in ("initdb", "pg_ctl", "postgres") if not (bindir / name).exists()]
        if missing:
            raise DatabaseBinariesMissing(where=str(bindir), reason=f"it has no {', '.join(missing)}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._refuse_foreign_files()
            runner = choose_runner(self._folder, bindir)
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
                while not try_lock(descriptor):
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

    async def _create_cluster(self, bindir: Path, runner: Runner, major: int, lock: int) -> None:
        temporary = self._folder / "initdb.tmp"
        await asyncio.to_thread(remove_tree, temporary)
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
        await asyncio.to_thread(rename_durably, temporary, self._cluster)
        log.info("database.cluster_created", folder=str(self._cluster), version=major)

    # Running the server.

    async def _start_server(self, bindir: Path, runner: Runner, major: int) -> None:
        socket_dir = await asyncio.to_thread(ensure_socket_dir, self._folder, runner)
        await asyncio.to_thread(self._write_configuration, runner, major, socket_dir)
        await asyncio.to_thread(self._end_orphan, socket_dir)
        await asyncio.to_thread(self._remove_stale_locks, socket_dir)
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

    async def _stop_server(self, bindir: Path, runner: Runner) -> None:
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
        await asyncio.to_thread(remove_socket_dir, self._folder, runner)
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
        reason = await asyncio.to_thread(read_tail, self._log)
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
        path = Path(running.socket_dir) / f".s.PGSQL.{PORT}"
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
        found = parse_postmaster_file(read_text(self._cluster / "postmaster.pid"))
        return found if found is not None and works_in(found.pid, self._cluster) else None

    def _remove_stale_locks(self, socket_dir: Path) -> None:
        """Remove the lock files of a crashed server whose number a zombie or a stranger's process has by now.

        PostgreSQL itself takes any such process of the same user for the server and then refuses to start. It is
        left to judge alone as long as one process still works in the cluster, such as a backend without its parent.
        """
        locks = (self._cluster / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock")
        if any(works_in(int(entry.name), self._cluster) for entry in Path("/proc").glob("[0-9]*")):
            return
        for path in locks:
            if path.exists():
                path.unlink()
                log.warning("database.stale_lock_removed", path=str(path))

    def _end_orphan(self, socket_dir: Path) -> None:
        """End the server of a cluster that was deleted at this very path while it ran; it keeps the socket's name."""
        text = read_text(socket_dir / f".s.PGSQL.{PORT}.lock").splitlines()
        if not text or not text[0].strip().isdecimal():
            return
        try:
            process = os.pidfd_open(int(text[0]))
        except OSError:
            return
        try:
            if working_folder(int(text[0])) == f"{self._cluster.resolve()} (deleted)":
                signal.pidfd_send_signal(process, signal.SIGQUIT)
                select.select([process], [], [], STOP_TIMEOUT_S)
                log.warning("database.orphan_ended", pid=int(text[0]))
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    def _write_configuration(self, runner: Runner, major: int, socket_dir: Path) -> None:
        client = pwd.getpwuid(os.geteuid()).pw_name
        files = {
            "postgresql.conf": render_settings(major=major, socket_dir=socket_dir),
            "pg_hba.conf": render_hba(),
            "pg_ident.conf": render_ident(client=client, server=runner.user),
        }
        try:
            for name, text in files.items():
                write_owned(self._cluster, name, text, runner)
            if self._log.exists() and self._log.lstat().st_size > _LOG_LIMIT:
                self._log.replace(self._log.with_suffix(".log.1"))
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DatabaseDiskFull(folder=self._folder) from exc
            raise DatabaseFolderUnusable(folder=self._folder, reason=exc.strerror or str(exc)) from exc

    async def _run(
        self, step: str, command: tuple[str, ...], runner: Runner, *, stdin: str = "", keep: tuple[int, ...] = ()
    ) -> None:
        code, output = await run_program(runner.wrap(command), cwd=self._folder, stdin=stdin, keep=keep)
        if code == 0:
            return
        said = output + ("" if step != "starting" else await asyncio.to_thread(read_tail, self._log))
        if "No space left on device" in said:
            raise DatabaseDiskFull(folder=self._folder)
        raise DatabaseStartFailed(
            step=step,
            reason=last_line(said),
            log_file=self._log if step == "starting" else None,
        )
