"""Backups of the control host: on a real PostgreSQL, with a real agent that the restored API must still be known to."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from backup import (
    STAMP,
    Refused,
    find_superseded,
    is_here,
    parse_place,
    refuse_unsafe,
    restore_folder,
    split_password,
    with_database,
)
from component.api.conftest import Postgres
from component.artifacts.conftest import Workshop
from fakes.warrant import FakeWarrant
from fakes.wishes import want_container
from real_parts.served_api import PATIENCE_S, TOKEN, Site, make_operator, make_site, serving, wait_up
from zlh_api.artifacts.signing.publish import verify_tree
from zlh_api.database.pool import Database
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.port import GuestPlan
from zlh_api.drivers.process import ProcessDriver
from zlh_api.monitoring.process_use import read_backup
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.resources import Resources

SCRIPT = Path(__file__).parents[3] / "deploy/control/backup.py"
pytestmark = pytest.mark.timeout(400)


def backup(postgres: Postgres, site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program as its unit does."""
    return subprocess.run(backup_command(postgres, site, *arguments), check=False, capture_output=True, text=True)


def backup_command(postgres: Postgres, site: Site, *arguments: str) -> list[str]:
    """Return how it is run: with nothing but a Python."""
    places = ["--config", str(site.config), "--into", str(site.folder / "backups")]
    server = ["--programs", str(postgres.programs), "--admin", postgres.dsn("postgres")]
    return [sys.executable, "-I", "-S", str(SCRIPT), *places, *server, *arguments]


async def make(postgres: Postgres, site: Site, *options: str) -> Path:
    """Make one; return its folder."""
    done = await asyncio.to_thread(backup, postgres, site, "make", *options)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split(": ")[0])


def record_at(site: Site, path: Path) -> None:
    """Have the configuration name what says when a backup was made."""
    site.config.write_text(f'backup_record = "{path}"\n' + site.config.read_text())


def modes(folder: Path) -> set[int]:
    """Return the rights of a folder and of all that is in it."""
    return {path.stat().st_mode & 0o077 for path in (folder, *folder.rglob("*"))}


@pytest.fixture
async def site(tmp_path: Path, dsn: str) -> Site:
    """An installation with keys, a database and an operator, of which nothing runs."""
    site = await asyncio.to_thread(make_site, tmp_path / "site", dsn)
    await make_operator(site)
    return site


async def want(site: Site, change: Callable[[Any], Awaitable[Any]]) -> Any:
    """Change the database as the API's own service does."""
    database = Database(site.dsn)
    try:
        async with database.transaction() as connection:
            return await change(connection)
    finally:
        await database.close()


async def wait_agent(site: Site) -> dict[str, Any]:
    """Return what is told of the one container, once its agent lets the API in and answers it."""
    async with asyncio.timeout(PATIENCE_S):
        while not await is_answered(site):
            await asyncio.sleep(0.1)
    (report,) = (await site.fetch("/api/containers"))["items"]
    return {name: report[name] for name in ("vmid", "hostname", "customerId", "createdAt")}


async def is_answered(site: Site) -> bool:
    """Tell whether the agent has answered the API."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{site.port}/api/containers/101/metrics"
    async with aiohttp.request("GET", url, headers=headers) as answer:
        return answer.status == 200


async def lose(postgres: Postgres, site: Site) -> None:
    """Have the disk of the control host be another one: no database, no keys."""
    name = site.dsn.rpartition("@/")[2].partition("?")[0]
    await postgres.execute(f"drop database {name}")
    await asyncio.to_thread(shutil.rmtree, site.keys)


async def destroy(site: Site, owner: OwnerMark) -> None:
    """End the container and what runs in it; its deletion over the API would wait for a proxy."""
    driver = ProcessDriver(root=site.folder / "guests", settings=AgentSettings("http://127.0.0.1:1", 7443, ("stable",)))
    plan = GuestPlan(owner, Vmid(101), "dev", None, Resources())
    await driver.ensure_destroyed(plan, FakeWarrant(plan))


async def test_what_is_lost_comes_back_and_its_agents_know_it(postgres: Postgres, site: Site) -> None:
    """Dump, lose, restore: the API serves the same container, and is let in by the agent that ran all the while."""
    owner: OwnerMark = await want(site, partial(want_container, runtimes=()))
    try:
        async with serving(site) as server:
            await wait_up(site, server)
            before = await wait_agent(site)
            folder = await make(postgres, site)
        await lose(postgres, site)
        done = await asyncio.to_thread(backup, postgres, site, "restore", str(folder))
        assert done.returncode == 0, done.stderr
        async with serving(site) as server:
            await wait_up(site, server)
            assert await wait_agent(site) == before
    finally:
        await destroy(site, owner)


async def test_what_is_there_is_kept_beside_what_comes_back(postgres: Postgres, site: Site) -> None:
    """Database and keys of the moment before have other names then, whole; nobody restores a mistake for good."""
    folder = await make(postgres, site)
    await want(site, lambda connection: connection.execute("update users set email = 'later@example.test'"))
    (site.keys / "later").write_text("of the moment before")
    done = await asyncio.to_thread(backup, postgres, site, "restore", str(folder))
    assert done.returncode == 0, done.stderr
    assert await want(site, lambda connection: connection.fetchval("select email from users")) == "owner@example.test"
    (kept,) = site.keys.parent.glob("agents.before-*")
    assert ((kept / "later").read_text(), (site.keys / "later").exists()) == ("of the moment before", False)
    before = re.search(r"what was there is (\w+_before_\w+)", done.stdout)
    assert before is not None
    old = replace(site, dsn=postgres.dsn(before[1]))
    assert await want(old, lambda connection: connection.fetchval("select email from users")) == "later@example.test"
    await postgres.execute(f'drop database "{before[1]}"')


@pytest.mark.parametrize("part", ["database", "keys"])
async def test_one_part_comes_back_alone(postgres: Postgres, site: Site, part: str) -> None:
    """Where the other is as it should be, it is not touched."""
    folder = await make(postgres, site)
    await want(site, lambda connection: connection.execute("update users set email = 'later@example.test'"))
    (site.keys / "later").write_text("of the moment before")
    done = await asyncio.to_thread(backup, postgres, site, "restore", str(folder), "--only", part)
    assert done.returncode == 0, done.stderr
    email = await want(site, lambda connection: connection.fetchval("select email from users"))
    assert (email == "owner@example.test", not (site.keys / "later").exists()) == (part == "database", part == "keys")
    if before := re.search(r"what was there is (\w+_before_\w+)", done.stdout):
        await postgres.execute(f'drop database "{before[1]}"')


async def test_what_is_not_in_a_backup_is_never_said_to_be_restored(postgres: Postgres, site: Site) -> None:
    """Asked for alone it is refused, and nothing is changed; else it is named."""
    folder = await make(postgres, site)
    done = await asyncio.to_thread(backup, postgres, site, "restore", str(folder), "--only", "artifact-keys")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no artifact-keys" in done.stderr
    done = await asyncio.to_thread(backup, postgres, site, "restore", str(folder))
    assert "artifact-keys: not in this backup" in done.stdout, done.stderr
    opened = "select count(*) from aclexplode((select datacl from pg_database where datname = current_database())) a"
    assert await want(site, lambda connection: connection.fetchval(f"{opened} where a.grantee = 0")) == 0
    before = re.search(r"what was there is (\w+_before_\w+)", done.stdout)
    assert before is not None
    await postgres.execute(f'drop database "{before[1]}"')


async def test_a_database_elsewhere_is_not_restored_into_the_one_here(postgres: Postgres, site: Site) -> None:
    """The user postgres of this host would have made it on this host's server, and it was said to be restored."""
    folder = await make(postgres, site)
    command = backup_command(postgres, site, "restore", str(folder))
    place = command.index("--admin")
    done = await asyncio.to_thread(
        subprocess.run, [*command[:place], *command[place + 2 :]], check=False, capture_output=True, text=True
    )
    assert (done.returncode, "say with --admin" in done.stderr) == (1, True)
    command[place + 1] = "postgresql://admin:secret@db.example/postgres"
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
    assert (done.returncode, "~/.pgpass" in done.stderr, "secret" in done.stderr) == (1, True, False)


@pytest.mark.parametrize(
    ("dsn", "is_ours"),
    [
        ("postgresql:///zlh", True),
        ("postgresql://zlh@/zlh?application_name=zlh", True),
        ("postgresql://db.example/zlh", False),
        ("postgresql:///zlh?host=/run/other", False),
        ("postgresql:///zlh?port=5433", False),
        ("postgresql://127.0.0.1/zlh", False),
    ],
)
def test_which_database_is_the_one_here(dsn: str, is_ours: bool) -> None:
    """That which is reached by saying nothing but its name."""
    assert is_here(dsn) is is_ours


async def test_a_lost_tree_of_artifacts_is_brought_back(postgres: Postgres, site: Site, published: Workshop) -> None:
    """As the page says it: signatures and keys of the backup, archives by other means; clients see nothing go back."""
    settings = f'trusted_root = "{site.folder}/root.json"\n'
    more = f'folder = "{published.tree}"\nkeys = "{published.keys}"\n'
    site.config.write_text(site.config.read_text().replace(settings, settings + more))
    await asyncio.to_thread(bring_back_tree, await make(postgres, site), published)


@pytest.mark.real("mounts")
async def test_nothing_is_written_but_the_backup(postgres: Postgres, site: Site, published: Workshop) -> None:
    """As its unit has it: all that is backed up lies on file systems that can only be read."""
    settings = f'trusted_root = "{site.folder}/root.json"\n'
    more = f'folder = "{published.tree}"\nkeys = "{published.keys}"\n'
    site.config.write_text(site.config.read_text().replace(settings, settings + more))
    argv = backup_command(postgres, site, "make")
    read_only = 'for place in "$1" "$2" "$3"; do mount --bind -o ro "$place" "$place"; done; shift 3; exec "$@"'
    places = [str(place) for place in (published.tree, published.keys, site.keys)]
    world = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", read_only, "sh", *places, *argv]
    done = await asyncio.to_thread(subprocess.run, world, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.split(": ")[0]) / "artifacts.tar").is_file()


def bring_back_tree(folder: Path, published: Workshop) -> None:
    """Lose tree and keys, and follow the page."""
    (archive,) = published.tree.glob("archives/*/*.tar.zst")
    elsewhere, signed = Path(shutil.copy(archive, folder.parent)), newest(published)
    for place, name in ((published.tree, "artifacts.tar"), (published.keys, "artifact-keys.tar")):
        shutil.rmtree(place)
        place.mkdir(mode=0o700)
        subprocess.run(["tar", "-xpf", str(folder / name), "-C", str(place)], check=True)
    verify = partial(verify_tree, published.tree, published.keys, now=published.now)
    assert [fault.file for fault in verify().faults] == [str(archive.relative_to(published.tree))]
    shutil.copy(elsewhere, archive)
    assert verify().ok
    published.publish()
    assert newest(published) > signed


def newest(workshop: Workshop) -> int:
    """Return the version of what clients look at first: one that goes back is refused."""
    return int(json.loads((workshop.tree / "metadata/timestamp.json").read_text())["signed"]["version"])


async def test_a_database_that_is_used_is_not_replaced(postgres: Postgres, site: Site) -> None:
    """An API that runs is to be stopped first, and says nothing else than that it is there."""
    folder = await make(postgres, site)
    connection = await asyncpg.connect(site.dsn)
    try:
        done = await asyncio.to_thread(backup, postgres, site, "restore", str(folder))
    finally:
        await connection.close()
    assert (done.returncode, "1 connections are open" in done.stderr) == (1, True)


async def test_nobody_else_reads_a_backup(postgres: Postgres, site: Site) -> None:
    """It holds the keys of everything."""
    folder = await make(postgres, site)
    assert modes(folder) == {0}
    assert folder.parent.stat().st_mode & 0o077 == 0
    names = {"database.dump", "keys.tar", "configuration.tar", "manifest.json"}
    assert {path.name for path in folder.iterdir()} == names


async def test_the_api_reads_when_one_was_made(postgres: Postgres, site: Site, tmp_path: Path) -> None:
    """It is another user, who may not look into the backups; one that failed says nothing new."""
    said = tmp_path / "last.json"
    record_at(site, said)
    folder = await make(postgres, site)
    record = await asyncio.to_thread(read_backup, said)
    assert record is not None
    assert record.finished_at == datetime.strptime(folder.name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert record.size_bytes == sum(file["bytes"] for file in files.values())
    assert said.stat().st_mode & 0o777 == 0o644
    site.config.write_text(site.config.read_text().replace(site.dsn, "postgresql:///nothing?host=/nonexistent"))
    done = await asyncio.to_thread(backup, postgres, site, "make")
    assert (done.returncode, await asyncio.to_thread(read_backup, said)) == (1, record)


@pytest.mark.parametrize("name", ["database.dump", "keys.tar", "manifest.json"])
async def test_a_backup_that_was_changed_is_refused(postgres: Postgres, site: Site, name: str) -> None:
    """One byte is enough, and nothing is touched then."""
    folder = await make(postgres, site)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 0x80
    (folder / name).write_bytes(data)
    for command in ("check", "restore"):
        done = await asyncio.to_thread(backup, postgres, site, command, str(folder))
        assert done.returncode == 1
        assert str(folder) in done.stderr
    assert await want(site, lambda connection: connection.fetchval("select count(*) from users")) == 1


async def test_a_backup_that_fails_is_seen_and_costs_none(postgres: Postgres, site: Site) -> None:
    """The database is away: exit code 1, the reason, no half folder; the good one stays, and `status` tells its age."""
    folder = await make(postgres, site)
    was = await asyncio.to_thread(site.config.read_text)
    site.config.write_text(was.replace(site.dsn, "postgresql:///nothing?host=/nonexistent"))
    done = await asyncio.to_thread(backup, postgres, site, "make", "--keep", "1")
    assert (done.returncode, "pg_dump ended with 1" in done.stderr) == (1, True)
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]
    site.config.write_text(was)
    assert (await asyncio.to_thread(backup, postgres, site, "status")).returncode == 0
    folder.rename(folder.with_name("20200101T000000Z"))
    late = await asyncio.to_thread(backup, postgres, site, "status")
    assert (late.returncode, "20200101T000000Z" in late.stderr) == (1, True)
    again = await make(postgres, site, "--keep", "1")
    assert [path.name for path in again.parent.iterdir() if path.is_dir()] == [again.name]


async def test_keys_that_lie_elsewhere_are_in_the_backup(postgres: Postgres, site: Site) -> None:
    """The folder is a link to another disk, and the configuration has one to a file: what they lead to is packed."""
    elsewhere = site.keys.rename(site.folder / "elsewhere")
    site.keys.symlink_to(elsewhere)
    (site.folder / "proxy.crt").write_text("of the proxy")
    (site.config.parent / "linked.crt").symlink_to(site.folder / "proxy.crt")
    folder = await make(postgres, site)
    with tarfile.open(folder / "keys.tar") as tar:
        assert {"./agents-ca.key", "./api-ca.key"} <= set(tar.getnames())
    with tarfile.open(folder / "configuration.tar") as tar:
        packed = tar.extractfile("./linked.crt")
        assert packed is not None
        assert packed.read() == b"of the proxy"


async def test_a_link_among_the_keys_is_refused(postgres: Postgres, site: Site) -> None:
    """It was left out, and the backup said to be whole; what another user has put there is not followed as root."""
    key = site.keys / "agents-ca.key"
    key.symlink_to(key.rename(site.folder / "kept.key"))
    done = await asyncio.to_thread(backup, postgres, site, "make")
    assert (done.returncode, f"{key} is a link" in done.stderr) == (1, True)


async def test_a_backup_without_the_keys_of_its_database_is_none(postgres: Postgres, site: Site) -> None:
    """The API has served with them, so its agents let nobody else in; the database alone still comes back."""
    async with serving(site) as server:
        await wait_up(site, server)
    folder = await make(postgres, site)
    (site.keys / "api-ca.key").unlink()
    done = await asyncio.to_thread(backup, postgres, site, "make")
    assert (done.returncode, "lacks api-ca.key of the CAs" in done.stderr) == (1, True)
    empty_keys(folder)
    for command in ("check", "restore"):
        done = await asyncio.to_thread(backup, postgres, site, command, str(folder))
        assert (done.returncode, "lacks agents-ca.key, api-ca.key of the CAs" in done.stderr) == (1, True)
    done = await asyncio.to_thread(backup, postgres, site, "restore", str(folder), "--only", "database")
    assert done.returncode == 0, done.stderr
    before = re.search(r"what was there is (\w+_before_\w+)", done.stdout)
    assert before is not None
    await postgres.execute(f'drop database "{before[1]}"')


def empty_keys(folder: Path) -> None:
    """Have a backup as it was made of a folder of keys that nothing was read of."""
    tarfile.open(folder / "keys.tar", "w").close()
    data = (folder / "keys.tar").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["keys.tar"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def test_two_are_not_made_at_once(postgres: Postgres, site: Site) -> None:
    """The second would remove what the first has half made; it says so, and the half is there still."""
    half = site.folder / "backups/.20260101T000000Z.new"
    half.mkdir(parents=True)
    with (half.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = await asyncio.to_thread(backup, postgres, site, "make")
    assert (done.returncode, "Another backup is being made" in done.stderr, half.is_dir()) == (1, True, True)
    await make(postgres, site)
    assert not half.exists()


async def test_one_that_is_dated_ahead_is_not_fresh(postgres: Postgres, site: Site) -> None:
    """A clock was wrong when it was made: it would be the newest for a year, and the next one is not removed for it."""
    folder = await make(postgres, site)
    ahead = folder.rename(folder.with_name((datetime.now(UTC) + timedelta(days=365)).strftime(STAMP)))
    done = await asyncio.to_thread(backup, postgres, site, "status")
    assert (done.returncode, f"{ahead.name} is dated 87" in done.stderr) == (1, True)
    made = await make(postgres, site, "--keep", "1")
    assert made.is_dir()


async def test_a_record_is_written_through_no_link(postgres: Postgres, site: Site, tmp_path: Path) -> None:
    """Whoever may write beside it would have root write anywhere else."""
    told, other = tmp_path / "told", tmp_path / "other"
    told.mkdir()
    other.write_text("of somebody else")
    (told / ".last.json.part").symlink_to(other)
    record_at(site, told / "last.json")
    await make(postgres, site)
    assert (other.read_text(), (told / "last.json").is_symlink()) == ("of somebody else", False)


def write_archive(path: Path, *entries: tarfile.TarInfo) -> Path:
    """Write an archive of empty entries."""
    with tarfile.open(path, "w") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b""))
    return path


def named(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    """Return an entry of an archive that is of whoever runs this."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.uid, entry.gid = kind, "/etc" if kind in LINKS else "", os.getuid(), os.getgid()
    return entry


LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
EVIL = [named("../evil"), named("a/../../evil"), named("/evil"), *(named("evil", kind) for kind in LINKS)]


@pytest.mark.parametrize("entry", EVIL, ids=["above", "above-by-a-way", "absolute", "link", "hard-link"])
def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    """Nothing of it is unpacked, and what was there stays in its place."""
    target = tmp_path / "place/agents"
    target.mkdir(parents=True)
    archive = write_archive(tmp_path / "keys.tar", named("good"), entry)
    with pytest.raises(Refused, match=r"evil', which no backup does"):
        restore_folder(archive, target, "now")
    assert (list(target.iterdir()), list(tmp_path.rglob("*evil*")), list(tmp_path.rglob("good"))) == ([], [], [])


def test_who_owns_the_place_cannot_have_it_restored_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is exchanged for a link once it is looked through: what comes out is in the folder that was made."""
    elsewhere, target = tmp_path / "elsewhere", tmp_path / "place/agents"
    elsewhere.mkdir()

    def exchange(entries: tarfile.TarFile, archive: Path) -> None:
        refuse_unsafe(entries, archive)
        (tmp_path / "place/.agents.new").rename(tmp_path / "place/moved")
        (tmp_path / "place/.agents.new").symlink_to(elsewhere)

    monkeypatch.setattr("backup.refuse_unsafe", exchange)
    archive = write_archive(tmp_path / "keys.tar", named("ca.key"))
    with pytest.raises(OSError, match=r"agents\.new"):
        restore_folder(archive, target, "now")
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "place/moved/ca.key").is_file()


async def test_a_dump_of_something_else_is_no_backup(postgres: Postgres, site: Site, tmp_path: Path) -> None:
    """pg_dump was content, and it was the wrong database: told at once, not on the day when it is needed."""
    name = f"e{uuid4().hex}"
    await postgres.execute(f"create database {name}")
    connection = await asyncpg.connect(postgres.dsn(name))
    await connection.execute("create table other (number int); create view schema_versions as select 7 as number")
    await connection.close()
    site.config.write_text(site.config.read_text().replace(site.dsn, postgres.dsn(name)))
    done = await asyncio.to_thread(backup, postgres, site, "make")
    await postgres.execute(f"drop database {name}")
    assert (done.returncode, "no dump of our database" in done.stderr) == (1, True)


def test_the_oldest_go_and_nothing_else_does() -> None:
    """What is called otherwise was put there by somebody."""
    names = ["20260103T000000Z", "20260101T000000Z", "by-hand", "20260102T000000Z", ".20260104T000000Z.new"]
    assert find_superseded(names, 2) == ["20260101T000000Z"]
    assert find_superseded(names, 0) == ["20260102T000000Z", "20260101T000000Z"]


def test_artifacts_of_an_installed_host_belong_to_it() -> None:
    """Their server is another unit than the API, so the configuration may say nothing of where they lie."""
    document = {"database": {"dsn": "postgresql:///zlh"}, "keys_dir": "/var/lib/zlh/keys/agents"}
    installed = parse_place(document, Path("/etc/zlh"))
    assert (installed.artifacts, installed.artifact_keys) == (
        Path("/var/lib/zlh/artifacts"),
        Path("/var/lib/zlh/keys/artifacts"),
    )
    assert parse_place({**document, "artifacts": {"folder": "/srv/a"}}, Path("/etc/zlh")).artifacts == Path("/srv/a")
    assert parse_place(document, Path("/home/me")).artifacts is None


def test_no_password_is_an_argument() -> None:
    """Arguments of a program are for everybody to read."""
    assert split_password("postgresql://zlh:p%40ss@db.example:5432/zlh?sslmode=require") == (
        "postgresql://zlh@db.example:5432/zlh?sslmode=require",
        "p@ss",
    )
    assert split_password("postgresql:///zlh") == ("postgresql:///zlh", None)
    assert split_password("postgresql:///zlh?host=/run&password=p%40ss&user=zlh") == (
        "postgresql:///zlh?host=/run&user=zlh",
        "p@ss",
    )
    assert split_password("postgresql://zlh:a@db/zlh?password=b") == ("postgresql://zlh@db/zlh", "a")
    assert with_database("postgresql:///zlh?host=/run", "other") == "postgresql:///other?host=/run"
