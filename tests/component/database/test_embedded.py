"""The embedded PostgreSQL, with the real programs: first start, crashes, strangers in the way, both majors."""
# ruff: noqa: ASYNC240 - a test looks at processes and files from outside

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from guards.leaks import is_gone
from zlh_api.database.embedded.errors import (
    DatabaseBinariesMissing,
    DatabaseDiskFull,
    DatabaseFolderUnusable,
    DatabaseVersionMismatch,
)
from zlh_api.database.embedded.runner import choose_runner, find_bindir, socket_dir_for
from zlh_api.database.embedded.server import EmbeddedPostgres
from zlh_api.database.embedded.settings import (
    PostmasterFile,
    parse_postmaster_file,
    render_ident,
    render_settings,
)

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
MAJORS = [
    pytest.param(None, id="wheel"),
    pytest.param(DEBIAN_15, id="debian-15", marks=pytest.mark.real("postgresql-15")),
]


def postmaster_pid(folder: Path) -> int:
    """Return the pid that the server wrote."""
    return int((folder / "cluster/postmaster.pid").read_text().splitlines()[0])


async def ask(database: EmbeddedPostgres, question: str) -> object:
    """Connect as the API would and return one value."""
    address = await database.ensure_started()
    connection = await asyncpg.connect(address.dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def run_sql(database: EmbeddedPostgres, sql: str) -> None:
    """Connect by DSN and run a statement."""
    connection = await asyncpg.connect((await database.ensure_started()).dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def wait_gone(pid: int) -> None:
    """Return once the process is no more."""
    async with asyncio.timeout(20):
        while not is_gone(pid):
            await asyncio.sleep(0.02)


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """Give the path of a data folder, and make sure that no server of it is left."""
    path = tmp_path / "postgres"
    yield path
    await EmbeddedPostgres(path).stop()
    assert not await asyncio.to_thread(has_socket_dir, path)


def has_socket_dir(path: Path) -> bool:
    """Tell whether the folder of the server's socket is still there."""
    return path.exists() and socket_dir_for(path, uid=path.stat().st_uid, environment=os.environ).exists()


@pytest.fixture
def database(folder: Path) -> EmbeddedPostgres:
    """Give the wheel's PostgreSQL on that folder."""
    return EmbeddedPostgres(folder)


@pytest.mark.parametrize("bindir", MAJORS)
async def test_first_start_gives_a_database_that_role_zlh_owns(folder: Path, bindir: Path | None) -> None:
    """Connected without a password, no superuser, UTF-8, checksums on, nothing listening on TCP."""
    database = EmbeddedPostgres(folder, bindir)
    assert await ask(database, "select current_user || '@' || current_database()") == "zlh@zlh"
    assert await ask(database, "select rolsuper or rolcreatedb from pg_roles where rolname = current_user") is False
    assert await ask(database, "show server_encoding") == "UTF8"
    assert await ask(database, "show data_checksums") == "on"
    assert await ask(database, "show listen_addresses") == ""
    await run_sql(database, "create schema own; create table t (a int)")
    assert await database.is_running()
    await database.stop()
    assert not await database.is_running()
    assert await ask(database, "select count(*) from t") == 0


async def test_start_again_adopts_the_server_that_runs(database: EmbeddedPostgres, folder: Path) -> None:
    """Another process with the same folder finds it and starts nothing."""
    await database.ensure_started()
    pid = postmaster_pid(folder)
    other = EmbeddedPostgres(folder)
    assert await other.ensure_started() == await database.ensure_started()
    assert postmaster_pid(folder) == pid


async def test_two_that_start_at_once_share_one_server(folder: Path) -> None:
    """The lock lets one of them make the cluster; both get the same address."""
    found = await asyncio.gather(*(EmbeddedPostgres(folder).ensure_started() for _ in range(3)))
    assert len(set(found)) == 1


async def test_killed_server_comes_back_with_what_was_committed(database: EmbeddedPostgres, folder: Path) -> None:
    """kill -9 of the whole server leaves a pid file; the next start recovers."""
    await run_sql(database, "create table t (a int); insert into t values (42)")
    pid = postmaster_pid(folder)
    os.kill(pid, signal.SIGKILL)
    await wait_gone(pid)
    assert not await database.is_running()
    assert await ask(database, "select a from t") == 42


async def test_stale_pid_of_a_strangers_process_is_no_obstacle(database: EmbeddedPostgres, folder: Path) -> None:
    """After a reboot the number may be anybody's; that process is not touched."""
    await database.ensure_started()
    await database.stop()
    owner = folder.stat()
    stranger = await asyncio.create_subprocess_exec("sleep", "60", user=owner.st_uid, cwd="/")
    pid_file = folder / "cluster/postmaster.pid"
    pid_file.write_text(f"{stranger.pid}\n{folder / 'cluster'}\n1\n5432\n/tmp\n\n0 0\nready\n")
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    assert not await database.is_running()
    assert await ask(database, "select 1") == 1
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_deleted_folder_is_made_anew_though_its_server_runs(database: EmbeddedPostgres, folder: Path) -> None:
    """Whoever removes the folder to begin anew need not know that a server was running."""
    await run_sql(database, "create table t (a int)")
    pid = postmaster_pid(folder)
    shutil.rmtree(folder)
    assert await ask(database, "select to_regclass('t') is null") is True
    await wait_gone(pid)


async def test_removed_socket_folder_is_made_anew(database: EmbeddedPostgres, folder: Path) -> None:
    """A tidy-up of temporary folders costs a restart, not the database."""
    address = await database.ensure_started()
    shutil.rmtree(address.socket_dir)
    assert not await database.is_running()
    assert await ask(database, "select 1") == 1


async def test_initdb_that_was_killed_is_done_anew(database: EmbeddedPostgres, folder: Path) -> None:
    """A cluster counts once it is renamed; what a killed run left is removed."""
    (folder / "initdb.tmp/base").mkdir(parents=True)
    (folder / "initdb.tmp/PG_VERSION").write_text("18\n")
    assert await ask(database, "select 1") == 1
    assert not (folder / "initdb.tmp").exists()


@pytest.mark.parametrize("after_s", [0.02, 0.15, 0.3, 0.5, 0.7])
async def test_start_killed_at_any_moment_is_completed_by_the_next(
    database: EmbeddedPostgres, folder: Path, after_s: float
) -> None:
    """kill -9 of the starter and of the programs that it runs."""
    code = (
        "import asyncio, sys, pathlib; from zlh_api.database.embedded.server import EmbeddedPostgres;"
        "print('on', flush=True); asyncio.run(EmbeddedPostgres(pathlib.Path(sys.argv[1])).ensure_started())"
    )
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert starter.stdout is not None
    assert await starter.stdout.readline() == b"on\n"
    await asyncio.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):  # a fast machine may have ended it: one more moment
        starter.kill()
    await starter.wait()
    assert await ask(database, "select current_user") == "zlh"


async def test_cluster_of_another_major_is_refused(database: EmbeddedPostgres, folder: Path) -> None:
    """Both versions are named, and nothing is changed."""
    await database.ensure_started()
    await database.stop()
    (folder / "cluster/PG_VERSION").write_text("14\n")
    with pytest.raises(DatabaseVersionMismatch, match=r"made by PostgreSQL 14 and PostgreSQL 18"):
        await database.ensure_started()


async def test_folder_with_other_files_is_refused(database: EmbeddedPostgres, folder: Path) -> None:
    """Owner and mode of somebody's folder are not changed by a wrong setting."""
    folder.mkdir(mode=0o755)
    (folder / "thesis.txt").write_text("mine")
    before = folder.stat()
    with pytest.raises(DatabaseFolderUnusable, match=r"thesis\.txt"):
        await database.ensure_started()
    assert (folder.stat().st_mode, folder.stat().st_uid) == (before.st_mode, before.st_uid)


async def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file stands in the way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseFolderUnusable, match="file"):
        await EmbeddedPostgres(tmp_path / "file" / "postgres").ensure_started()


async def test_missing_programs_are_named(folder: Path, tmp_path: Path) -> None:
    """A folder without PostgreSQL in it."""
    with pytest.raises(DatabaseBinariesMissing, match="initdb"):
        await EmbeddedPostgres(folder, tmp_path).ensure_started()


async def test_socket_folder_that_others_may_enter_is_refused(database: EmbeddedPostgres, folder: Path) -> None:
    """A name in a folder for everybody may have been taken by somebody else."""
    await database.ensure_started()
    await database.stop()
    path = await asyncio.to_thread(socket_dir_for, folder, uid=folder.stat().st_uid, environment=os.environ)
    path.mkdir(mode=0o700)
    path.chmod(0o777)
    try:
        with pytest.raises(DatabaseFolderUnusable, match="others"):
            await database.ensure_started()
    finally:
        path.rmdir()


async def test_variables_of_the_caller_do_not_steer_postgresql(
    database: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PGDATA and its like belong to another database of the same person."""
    for name, value in {"PGDATA": str(tmp_path / "x"), "PGPORT": "1", "PGHOST": "db", "PGUSER": "me"}.items():
        monkeypatch.setenv(name, value)
    assert await ask(database, "select current_user") == "zlh"


async def test_long_path_of_the_folder_does_not_reach_the_socket(tmp_path: Path) -> None:
    """A socket's name has at most 107 bytes; a home may lie deeper."""
    folder = tmp_path / ("deep-" * 20) / ("er-" * 20)
    database = EmbeddedPostgres(folder)
    try:
        address = await database.ensure_started()
        assert len(str(address.socket_dir)) < 80
        assert address.socket_dir.stat().st_mode & 0o777 == 0o700
    finally:
        await database.stop()


async def test_loop_is_never_blocked(database: EmbeddedPostgres) -> None:
    """A heartbeat beside the first start never waits long."""
    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            worst = max(worst, loop.time() - before)

    task = asyncio.create_task(beat())
    await database.ensure_started()
    await database.stop()
    task.cancel()
    assert worst < 0.25


@pytest.mark.real("root")
async def test_root_runs_it_as_another_user_below_private_folders(tmp_path: Path) -> None:
    """PostgreSQL refuses root; the other user passes root's 0700 folders by one capability, opening none of them."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    database = EmbeddedPostgres(private / "zlh/postgres")
    try:
        assert await ask(database, "select current_user") == "zlh"
        status = Path(f"/proc/{postmaster_pid(private / 'zlh/postgres')}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split()[0] != "0"
        assert int(fields["CapEff"], 16) == 1 << 2
        assert fields["NoNewPrivs"] == "1"
        assert private.stat().st_mode & 0o777 == 0o700
    finally:
        await database.stop()


@pytest.mark.real("root")
def test_programs_that_the_other_user_cannot_reach_are_told(tmp_path: Path) -> None:
    """A checkout in root's own home: the message names the folder that is closed, and says what to do."""
    private = tmp_path / "home"
    (private / "bin").mkdir(parents=True)
    private.chmod(0o700)
    with pytest.raises(DatabaseBinariesMissing, match=r"is closed.*such as /opt"):
        choose_runner(tmp_path, private / "bin")


def become(user: pwd.struct_passwd) -> list[str]:
    """Return what makes a command run as `user`, who may read this Python also where it lies in root's home."""
    command = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    if all(parent.stat().st_mode & 0o001 for parent in Path(sys.executable).resolve().parents):
        return [*command, "--inh-caps=-all"]
    return [*command, "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]


@pytest.mark.real("root")
@pytest.mark.parametrize("bindir", MAJORS)
def test_ordinary_user_starts_it_too(bindir: Path | None) -> None:
    """The same as a user without any rights, in a process of that user."""
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        code = (
            "import asyncio, sys, pathlib, asyncpg; from zlh_api.database.embedded.server import EmbeddedPostgres\n"
            "async def main():\n"
            "    database = EmbeddedPostgres(pathlib.Path(sys.argv[1]) / 'pg', pathlib.Path(sys.argv[2]))\n"
            "    address = await database.ensure_started()\n"
            "    connection = await asyncpg.connect(address.dsn)\n"
            "    print(await connection.fetchval('select current_user'), address.socket_dir)\n"
            "    await connection.close(); await database.stop()\n"
            "asyncio.run(main())\n"
        )
        done = subprocess.run(
            [*become(nobody), sys.executable, "-c", code, home, str(bindir or find_bindir())],
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert f"zlh /tmp/zlh-{nobody.pw_uid}-" in done.stdout


@pytest.mark.real("mounts")
async def test_full_disk_is_named(tmp_path: Path) -> None:
    """A file system of ten megabytes is too small; the message says so and nothing is left running."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = await asyncio.create_subprocess_exec("mount", "-t", "tmpfs", "-o", "size=10M", "tmpfs", str(small))
    assert await mounted.wait() == 0
    try:
        with pytest.raises(DatabaseDiskFull, match="small"):
            await EmbeddedPostgres(small / "postgres").ensure_started()
    finally:
        await (await asyncio.create_subprocess_exec("umount", str(small))).wait()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", None),
        ("12", PostmasterFile(12, "", "")),
        ("12\n/d\n1\n5432\n/s\n\n0 0\nready   \n", PostmasterFile(12, "/s", "ready")),
        ("-1\n", None),
        ("x\n", None),
        ("0\n", None),
    ],
)
def test_postmaster_file_is_read_while_it_is_written(text: str, meant: PostmasterFile | None) -> None:
    """Empty, partial and foreign contents are no server."""
    assert parse_postmaster_file(text) == meant


def test_settings_quote_what_stands_in_a_path() -> None:
    """A quote or a backslash in a folder's name ends no string."""
    text = render_settings(major=18, socket_dir=Path("/tmp/o'brien\\x"))
    assert "unix_socket_directories = '/tmp/o''brien\\\\x'" in text
    assert "io_method" in text
    assert "io_method" not in render_settings(major=15, socket_dir=Path("/tmp/x"))


def test_ident_maps_client_and_server_user_once() -> None:
    """One line each, also where they are the same."""
    assert render_ident(client="me", server="me").count("zlh ") == 1
    assert 'zlh "root" zlh' in render_ident(client="root", server="nobody")
