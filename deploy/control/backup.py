"""Backups of a control host: makes them, looks at them, and brings one back. Standard library and PostgreSQL's tools.

    backup.py make                      one more, beside those that are there; then the oldest go
    backup.py status                    the newest, and exit code 1 where it is older than a day and two hours
    backup.py check FOLDER              every file against its SHA-256, and the dump against pg_restore
    backup.py restore FOLDER            database and keys, into the place of what is there; that is kept beside it
    backup.py restore FOLDER --only database

A backup is one folder, `<into>/20260102T033000Z`, of root alone:

    database.dump     pg_dump's own format
    keys.tar          the CAs of the agents: **with these anybody is the API to every container**
    artifact-keys.tar the keys that sign artifacts, as far as they are on this machine
    artifacts.tar     decisions, records and signatures of the tree, without the archives
    configuration.tar the folder of the configuration
    manifest.json     sizes and SHA-256 of the others; written last, so a folder without it is none

It is made under another name, synced and renamed: what has its name is whole. A record says when the last one was made
(`backup_record` of the API's configuration).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

STAMP = "%Y%m%dT%H%M%SZ"
FOLDER = re.compile(r"\d{8}T\d{6}Z")
MANIFEST, DUMP = "manifest.json", "database.dump"
# Without this table a dump is of something else.
PROOF = "TABLE DATA public schema_versions "
FRESH_S = 26 * 3600
# A clock may have been set a little since; one that is dated further ahead says nothing of how old it is.
AHEAD_S = 300
# Who signs or publishes holds the tree for moments; a build of archives may take minutes.
LOCK_S = 600.0
# Where the installer has them; a configuration names them only where the API itself serves the tree.
INSTALLED = Path("/etc/zlh/api.toml")
INSTALLED_ARTIFACTS = {"folder": "/var/lib/zlh/artifacts", "keys": "/var/lib/zlh/keys/artifacts"}
# What the API reads and tells Prometheus (`backup_record` of its configuration).
RECORD = Path("/var/lib/zlh/backup/last.json")
# Whose the database is; of one that is lost, whose it was when the installer made it.
OWNER = (
    "select coalesce((select pg_get_userbyid(datdba) from pg_database where datname = '{name}'), "
    "(select rolname from pg_roles where rolname = 'zlh'), current_user)"
)


class Refused(Exception):
    """What was asked for cannot be done; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a control host consists of, by its configuration."""

    dsn: str
    keys: Path
    artifact_keys: Path | None
    artifacts: Path | None
    configuration: Path
    # What says when the last backup was made.
    record: Path = RECORD

    @property
    def folders(self) -> dict[str, Path | None]:
        """Which folder each archive of keys holds."""
        return {"keys.tar": self.keys, "artifact-keys.tar": self.artifact_keys}


def main() -> None:
    """Do what the arguments say; what goes wrong is one line on standard error, and exit code 1."""
    asked = _parser().parse_args()
    os.umask(0o077)
    try:
        asked.run(asked)
    except (Refused, OSError, tomllib.TOMLDecodeError, tarfile.TarError) as wrong:
        print(f"backup: {wrong}", file=sys.stderr)
        raise SystemExit(1) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Backups of a ZLH control host.")
    parser.add_argument("--into", type=Path, default=Path("/var/backups/zlh"), help="default: %(default)s")
    parser.add_argument("--config", type=Path, default=INSTALLED, help="default: %(default)s")
    parser.add_argument("--programs", type=Path, help="the folder of pg_dump and the others (default: PATH)")
    parser.add_argument(
        "--admin", metavar="DSN", help="who may make databases, without a password (default: the user postgres here)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    make = commands.add_parser("make", help="make one more")
    make.add_argument("--keep", type=int, default=14, help="how many are kept (default: %(default)s)")
    make.set_defaults(run=run_make)
    commands.add_parser("status", help="say how old the newest is").set_defaults(run=run_status)
    check = commands.add_parser("check", help="compare one with its manifest")
    check.add_argument("folder", type=Path)
    check.set_defaults(run=run_check)
    restore = commands.add_parser("restore", help="bring one back")
    restore.add_argument("folder", type=Path)
    restore.add_argument("--only", choices=("database", "keys", "artifact-keys"))
    restore.set_defaults(run=run_restore)
    return parser


# ---- decisions


def parse_place(document: Mapping[str, Any], configuration: Path) -> Place:
    """Return where everything is, of a configuration; raise Refused where that does not say it."""
    try:
        besides = INSTALLED_ARTIFACTS if configuration == INSTALLED.parent else {}
        artifacts = {**besides, **document.get("artifacts", {})}
        return Place(
            dsn=document["database"]["dsn"],
            keys=Path(document["keys_dir"]),
            artifact_keys=Path(artifacts["keys"]) if "keys" in artifacts else None,
            artifacts=Path(artifacts["folder"]) if "folder" in artifacts else None,
            configuration=configuration,
            record=Path(document.get("backup_record", RECORD)),
        )
    except KeyError as missing:
        raise Refused(f"The configuration does not say {missing}.") from None


def split_password(dsn: str) -> tuple[str, str | None]:
    """Return an address without its password, and the password: what a program is started with, everybody can read."""
    parts = urlsplit(dsn)
    settings = [(unquote(item.partition("=")[0]), item) for item in parts.query.split("&")]
    asked = [unquote_plus(item.partition("=")[2]) for name, item in settings if name == "password"]
    if parts.password is None and not asked:
        return dsn, None
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(item for name, item in settings if name != "password")
    # An empty host is kept by hand: `postgresql:///name`.
    address = f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}" + (f"?{query}" if query else "")
    address += f"#{parts.fragment}" if parts.fragment else ""
    # The API goes by the first where there are both.
    return address, asked[0] if parts.password is None else unquote(parts.password)


def database_of(dsn: str) -> str:
    """Return the name of the database; raise Refused where the address has none."""
    name = unquote(urlsplit(dsn).path.removeprefix("/"))
    if re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", name) is None:
        raise Refused(f"database.dsn names no plain database ({name!r}).")
    return name


def is_here(dsn: str) -> bool:
    """Tell whether an address is of the server that the user postgres of this host reaches without any."""
    parts = urlsplit(dsn)
    elsewhere = {"host", "hostaddr", "port", "service"}
    asked = {unquote(item.partition("=")[0]) for item in parts.query.split("&")}
    return not parts.netloc.rpartition("@")[2] and not asked & elsewhere


def with_database(dsn: str, name: str) -> str:
    """Return the address of another database of the same server."""
    parts = urlsplit(dsn)
    # An empty host is kept by hand: `postgresql:///name`.
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def find_missing_keys(authority: str, names: Collection[str]) -> list[str]:
    """Return which keys are not among the files of an archive, of the CAs that a database goes by.

    `authority`: that table as pg_restore prints it; empty where the API has never run.
    """
    heading = re.search(r"^COPY \S+ \((.*)\) FROM stdin;\n(.+)\n\\\.$", authority, re.MULTILINE)
    if heading is None:
        return []
    row = dict(zip(heading[1].split(", "), heading[2].split("\t"), strict=True))
    numbers = sorted({int(row[name]) for name in ("oldest", "presented", "issuing")})
    keys = [f"{ca}{'' if number == 1 else f'-{number}'}.key" for number in numbers for ca in ("agents-ca", "api-ca")]
    return [key for key in keys if key not in names]


def refuse_unsafe(entries: Iterable[tarfile.TarInfo], archive: Path) -> None:
    """Raise Refused where an archive would write anywhere but into its folder, or holds what is never packed."""
    for entry in entries:
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts or not (entry.isreg() or entry.isdir()):
            raise Refused(f"{archive} holds {entry.name!r}, which no backup does: take another one.")


def find_superseded(names: Iterable[str], keep: int) -> list[str]:
    """Return which backups go, the newest `keep` left out; what is called otherwise is nobody's to remove."""
    return sorted((name for name in names if FOLDER.fullmatch(name)), reverse=True)[max(keep, 1) :]


def describe(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return one line about a backup."""
    size = sum(item["bytes"] for item in manifest["files"].values())
    return f"{folder}: {manifest['made']}, schema {manifest['schema']}, {size / 1e6:.1f} MB, whole"


def render_record(made: datetime, size: int) -> str:
    """Return what the API reads of the last backup, which is as old as what it holds."""
    return json.dumps({"finished_at": made.isoformat(), "bytes": size}) + "\n"


# ---- PostgreSQL


@dataclass(frozen=True, slots=True)
class Tools:
    """PostgreSQL's programs, and who may make databases."""

    programs: Path | None
    admin: str | None

    def program(self, name: str) -> str:
        """Return the path of a program; raise Refused where it is not there."""
        path = shutil.which(name, path=str(self.programs) if self.programs else None)
        if path is None:
            raise Refused(f"{name} is not here; on Debian: apt install postgresql-client.")
        return path

    def run(self, dsn: str, *argv: str, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.PIPE) -> str:
        """Run a program against a database; return what it prints, or raise Refused with what it complains of."""
        address, password = split_password(dsn)
        return self._run([self.program(argv[0]), f"--dbname={address}", *argv[1:]], password, stdin, stdout)

    def run_as_admin(self, database: str, *argv: str, stdin: Any = subprocess.DEVNULL) -> str:
        """Do the same as who may make databases."""
        if self.admin is not None:
            return self.run(with_database(self.admin, database), *argv, stdin=stdin)
        as_postgres = ["runuser", "-u", "postgres", "--", self.program(argv[0]), f"--dbname={database}", *argv[1:]]
        return self._run(as_postgres, None, stdin, subprocess.PIPE)

    def ask(self, database: str, *statements: str, is_one: bool = False) -> str:
        """Carry out statements as who may make databases; return the rows of the last. `is_one`: all or none."""
        given = [f"--command={statement}" for statement in statements]
        one = ["--single-transaction"] if is_one else []
        return self.run_as_admin(database, "psql", "-XAtq", "--set=ON_ERROR_STOP=1", *one, *given).strip()

    def _run(self, argv: Sequence[str], password: str | None, stdin: Any, stdout: Any) -> str:
        environment = {**os.environ, **({} if password is None else {"PGPASSWORD": password})}
        done = subprocess.run(
            argv, check=False, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=environment, cwd="/"
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise Refused(f"{Path(argv[0]).name} ended with {done.returncode}: {said[-600:]}")
        return (done.stdout or b"").decode()


def _tools(asked: argparse.Namespace) -> Tools:
    if asked.admin is not None and split_password(asked.admin)[1] is not None:
        raise Refused("Everybody reads a password among arguments: put it into ~/.pgpass, and leave it out of --admin.")
    return Tools(asked.programs, asked.admin)


def _place(asked: argparse.Namespace) -> Place:
    return parse_place(tomllib.loads(asked.config.read_text()), asked.config.absolute().parent)


# ---- making


def run_make(asked: argparse.Namespace) -> None:
    """Make one more, and remove those that are too many, in this order: what fails costs no backup."""
    asked.into.mkdir(parents=True, exist_ok=True)
    asked.into.chmod(0o700)
    with _alone(asked.into):
        _make(asked)


@contextmanager
def _alone(into: Path) -> Iterator[None]:
    """Be the only one who makes a backup there: whoever does removes what the ones before have left half."""
    with (into / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"Another backup is being made in {into}: wait for its end.") from None
        yield


def _make(asked: argparse.Namespace) -> None:
    place, tools, into = _place(asked), _tools(asked), asked.into
    began = int(time.time())
    stamp = datetime.fromtimestamp(began, UTC).strftime(STAMP)
    fresh = into / f".{stamp}.new"
    for left in into.glob(".*.new"):
        shutil.rmtree(left)
    fresh.mkdir()
    try:
        _write_parts(place, tools, fresh)
        manifest = _write_manifest(fresh, stamp, schema=_read_schema(place, tools))
        check_keys(fresh, check_backup(fresh, tools), tools)
        _sync_tree(fresh)
    except BaseException:
        # The disk that it has filled may be the database's.
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    fresh.rename(into / stamp)
    _sync(into)
    _leave_record(place.record, render_record(datetime.fromtimestamp(began, UTC), _size(manifest)))
    # Not this one, however many are dated ahead of it.
    for name in find_superseded((path.name for path in into.iterdir() if path.is_dir()), asked.keep):
        if name != stamp:
            shutil.rmtree(into / name)
    print(describe(manifest, into / stamp))


def _leave_record(record: Path, text: str) -> None:
    """Say it where the API reads, which is another user."""
    if not record.parent.is_dir():
        print(f"The API is not told of it: there is no folder {record.parent} (backup_record).", file=sys.stderr)
        return
    fresh = record.with_name(f".{record.name}.part")
    fresh.unlink(missing_ok=True)
    # Never through a link that somebody has put there.
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    fresh.rename(record)


def _write_parts(place: Place, tools: Tools, folder: Path) -> None:
    # Keys first: one that is made meanwhile is then in neither, and not in the database alone.
    for name, keys in place.folders.items():
        if keys is not None and keys.is_dir():
            _pack(folder / name, keys)
    if place.artifacts is not None and (place.artifacts / ".lock").is_file():
        with _unchanging(place.artifacts):
            _pack(folder / "artifacts.tar", place.artifacts, is_wanted=lambda name: not name.endswith(".tar.zst"))
    _pack(folder / "configuration.tar", place.configuration, follows=True)
    with (folder / DUMP).open("wb") as target:
        tools.run(place.dsn, "pg_dump", "--format=custom", "--compress=6", stdout=target)


@contextmanager
def _unchanging(tree: Path) -> Iterator[None]:
    """Hold the lock of who signs, so that what is packed are the signatures of one moment."""
    # Only to read: the unit lets a backup write nowhere else.
    with (tree / ".lock").open("rb") as lock:
        _wait_for(lock.fileno(), tree)
        yield


def _wait_for(lock: int, tree: Path) -> None:
    due = time.monotonic() + LOCK_S
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= due:
                raise Refused(f"{tree} is held by another program, for {LOCK_S:.0f} s: fuser {tree}/.lock.") from None
            time.sleep(0.2)


def _read_schema(place: Place, tools: Tools) -> int:
    return int(tools.run(place.dsn, "psql", "-XAtq", "--command=select max(number) from schema_versions"))


def _pack(archive: Path, folder: Path, is_wanted: Any = lambda _name: True, *, follows: bool = False) -> None:
    """Write an archive of a folder with names of owners; what works in it and hides is left out.

    `follows`: links below it are packed as what they lead to; else one is refused, as root reads for another user here.
    """
    source = folder.resolve()

    def choose(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if PurePosixPath(entry.name).name in {".cache", ".work", ".lock"}:
            return None
        if not follows and (path := source / entry.name).is_symlink():
            raise Refused(f"{path} is a link, and no backup has what it leads to: put that itself there.")
        return entry if entry.isdir() or (entry.isreg() and is_wanted(entry.name)) else None

    # By what they lead to, as a second name of a file is one like the first.
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT, dereference=True) as tar:
        tar.add(source, ".", filter=choose)


def _write_manifest(folder: Path, stamp: str, *, schema: int) -> dict[str, Any]:
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _hash(path)} for path in sorted(folder.iterdir())}
    manifest = {"made": stamp, "schema": schema, "files": files}
    _write_durably(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _size(manifest: Mapping[str, Any]) -> int:
    return sum(item["bytes"] for item in manifest["files"].values())


# ---- looking


def check_backup(folder: Path, tools: Tools) -> dict[str, Any]:
    """Return the manifest of a backup that is whole; raise Refused with what is not."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, ValueError):
        raise Refused(f"{folder} is no whole backup: it has no {MANIFEST} that can be read.") from None
    for name, said in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != said["bytes"] or _hash(path) != said["sha256"]:
            raise Refused(f"{path} is not what was written: take another backup.")
    with (folder / DUMP).open("rb") as dump:
        listed = subprocess.run(
            [tools.program("pg_restore"), "--list"], check=False, stdin=dump, capture_output=True, text=True
        )
    if listed.returncode != 0 or PROOF not in listed.stdout:
        raise Refused(f"{folder / DUMP} is no dump of our database: {listed.stderr.strip()[-300:]}")
    return manifest


def check_keys(folder: Path, manifest: Mapping[str, Any], tools: Tools) -> None:
    """Raise Refused where a backup lacks keys without which no agent would let the API of its database in."""
    with (folder / DUMP).open("rb") as dump:
        told = subprocess.run(
            [tools.program("pg_restore"), "--data-only", "--table=authority", "--file=-"],
            check=False,
            stdin=dump,
            capture_output=True,
            text=True,
        )
    if told.returncode != 0:
        raise Refused(f"{folder / DUMP} cannot be read: {told.stderr.strip()[-300:]}")
    names: set[str] = set()
    if "keys.tar" in manifest["files"]:
        with tarfile.open(folder / "keys.tar") as tar:
            names = {str(PurePosixPath(entry.name)) for entry in tar}
    if missing := find_missing_keys(told.stdout, names):
        lacks = f"{folder} lacks {', '.join(missing)} of the CAs"
        raise Refused(f"{lacks}: see to keys_dir. Its database alone comes back with --only database.")


def run_check(asked: argparse.Namespace) -> None:
    """Say that one is whole; raise Refused with what is not."""
    manifest = check_backup(asked.folder, _tools(asked))
    check_keys(asked.folder, manifest, _tools(asked))
    print(describe(manifest, asked.folder))


def run_status(asked: argparse.Namespace) -> None:
    """Say which is the newest; raise Refused where there is none, or none of today."""
    names = sorted(path.name for path in asked.into.glob("*") if FOLDER.fullmatch(path.name))
    if not names:
        raise Refused(f"There is no backup in {asked.into}: journalctl -u zlh-backup says why.")
    newest = names[-1]
    age_s = time.time() - datetime.strptime(newest, STAMP).replace(tzinfo=UTC).timestamp()
    if age_s < -AHEAD_S:
        ahead = f"{newest} is dated {-age_s / 3600:.1f} h ahead of this machine's clock"
        raise Refused(f"The newest backup, {ahead}: set the clock, and move what has a wrong date elsewhere.")
    if age_s > FRESH_S:
        raise Refused(f"The newest backup, {newest}, is {age_s / 3600:.0f} h old: journalctl -u zlh-backup says why.")
    print(f"{asked.into / newest}: {age_s / 3600:.1f} h old; {len(names) - 1} before it")


# ---- bringing back


def run_restore(asked: argparse.Namespace) -> None:
    """Put database and keys of a backup into the place of what is there, each as a whole, and keep that."""
    place, tools = _place(asked), _tools(asked)
    manifest = check_backup(asked.folder, tools)
    wanted = {asked.only} if asked.only else {"database", "keys", "artifact-keys"}
    archives = {
        name.removesuffix(".tar"): target for name, target in place.folders.items() if name in manifest["files"]
    }
    if asked.only and asked.only != "database" and archives.get(asked.only) is None:
        raise Refused(
            f"{asked.folder} has no {asked.only}, or the configuration no place for them: nothing is changed."
        )
    if "keys" in wanted:
        check_keys(asked.folder, manifest, tools)
    stamp = datetime.now(UTC).strftime(STAMP).lower()
    if "database" in wanted:
        restore_database(asked.folder / DUMP, place, tools, stamp)
    for part in sorted(wanted - {"database"}):
        if (target := archives.get(part)) is not None:
            restore_folder(asked.folder / f"{part}.tar", target, stamp)
        elif part in archives:
            print(f"{part}: left in the backup, since the configuration names no place for them")
        else:
            print(f"{part}: not in this backup")
    print("Done. Start the API, then: zlh-api authority unpin --all, and zlh-api audit (docs/operations.md).")


def restore_database(dump: Path, place: Place, tools: Tools, stamp: str) -> None:
    """Make a database of a dump, and give it the name; the one that had it is `<name>_before_<stamp>` from then on.

    Raises Refused where it is on another server than that of the user postgres, and nobody says who may make databases.
    """
    if tools.admin is None and not is_here(place.dsn):
        another = split_password(place.dsn)[0]
        raise Refused(
            f"The database is that of {another}: say with --admin postgresql://… who may make databases there."
        )
    name = database_of(place.dsn)
    fresh, before = f"{name}_new", f"{name}_before_{stamp}"
    busy = int(tools.ask("postgres", f"select count(*) from pg_stat_activity where datname = '{name}'"))
    if busy:
        raise Refused(f"{busy} connections are open to the database {name}: stop those programs first, as zlh-api.")
    owner = tools.ask("postgres", OWNER.format(name=name))
    tools.ask("postgres", f'drop database if exists "{fresh}"')
    made = f"create database \"{fresh}\" owner \"{owner}\" template template0 encoding 'UTF8' locale 'C'"
    tools.ask("postgres", made)
    tools.ask("postgres", f'revoke all on database "{fresh}" from public')
    with dump.open("rb") as source:
        options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", f"--role={owner}")
        tools.run_as_admin(fresh, "pg_restore", *options, stdin=source)
    tools.ask(fresh, "analyze")
    is_there = tools.ask("postgres", f"select count(*) from pg_database where datname = '{name}'") == "1"
    renames = [f'alter database "{name}" rename to "{before}"'] if is_there else []
    tools.ask("postgres", *renames, f'alter database "{fresh}" rename to "{name}"', is_one=True)
    print(f"database {name}: restored" + (f"; what was there is {before}" if is_there else ""))


def restore_folder(archive: Path, target: Path, stamp: str) -> None:
    """Put a folder of keys into its place; what was there is beside it from then on."""
    fresh, before = target.with_name(f".{target.name}.new"), target.with_name(f"{target.name}.before-{stamp}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    _extract(archive, fresh)
    _sync_tree(fresh)
    with _replaced(target, before):
        fresh.rename(target)
    _sync(target.parent)
    print(f"{target}: restored" + (f"; what was there is {before}" if before.exists() else ""))


def _extract(archive: Path, fresh: Path) -> None:
    # Owners and modes as they were. Python 3.11.2 of Debian 12 knows no filters, and does just that without one.
    trust: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    with tarfile.open(archive) as tar, _working_in(fresh):
        refuse_unsafe(tar, archive)
        tar.extractall(".", **trust)  # noqa: S202 - it was looked through before


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Work in a folder that was made just now, whatever stands at its name meanwhile: that may be another user's."""
    number, before = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW), os.open(".", os.O_RDONLY)
    try:
        if os.fstat(number).st_uid != os.geteuid():
            raise Refused(f"Somebody has exchanged {folder}: stop what runs as the owner of {folder.parent}.")
        os.fchdir(number)
        yield
    finally:
        os.fchdir(before)
        os.close(number)
        os.close(before)


@contextmanager
def _replaced(target: Path, before: Path) -> Iterator[None]:
    was_there = target.exists()
    if was_there:
        target.rename(before)
    try:
        yield
    except OSError:
        if was_there:
            before.rename(target)
        raise


# ---- files


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_durably(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.part")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _sync_tree(folder: Path) -> None:
    """Have a folder and everything below it on the disk."""
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(number)
    finally:
        os.close(number)


if __name__ == "__main__":
    main()
