"""Installs a release on its control host, or brings it to another version: as root, with the system's own Python.

    python3 install.py                             from the folder that it lies in, which was unpacked from nothing else
    python3 install.py --dry-run                   says what it would do, and does nothing
    python3 install.py --domain example.org --driver lxc      what the first configuration is written for
    python3 install.py --signers FILE              whose signature the release must have, from now on
    python3 install.py --wheels FOLDER             where the libraries are, on a host that reaches no package index

It may be run again at any time and after any end: what is right stays as it is, and the last line counts what was
changed. The configuration is written once and never again. Nothing is removed but the half of a version that an
interrupted run has left.

Exit codes: 0 all of it is there and answers, 1 something was refused, 3 the configuration waits for you.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it is not known yet which Python this is
    sys.exit(f"install: Python 3.11 or newer is needed, and this is {sys.version.split()[0]}.")

import argparse
import fcntl
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

USER = "zlh-api"
API, CURRENT = Path("/opt/zlh/api"), Path("/opt/zlh/api/current")
ETC, STATE, SYSTEM = Path("/etc/zlh"), Path("/var/lib/zlh"), Path("/etc/systemd/system")
CONFIG, SIGNERS = ETC / "api.toml", ETC / "release-signers"
TREE, KEYS = STATE / "artifacts", STATE / "keys/artifacts"
DROP_IN = SYSTEM / "zlh-api.service.d/lxc.conf"
UNITS = ("zlh-api.service", "zlh-artifacts.service", "zlh-backup.service", "zlh-backup.timer")
SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
# Whose name stands in the file of signers, and what the signature is for.
SIGNER, NAMESPACE = "zlh-release", "zlh-release"
LOCK = Path("/run/zlh-install.lock")
TO_FILL_IN = "CHANGE-ME"
WAITS_FOR_CONFIGURATION = 3
# A version with its libraries, and what the database and archives grow by at first.
NEEDED_BYTES = {"/opt": 1 << 30, "/var/lib": 1 << 30}
HEALTH_S = 60.0
# Owner, group and mode of each folder, parents first.
FOLDERS: tuple[tuple[Path, str, str, int], ...] = (
    (Path("/opt/zlh"), "root", "root", 0o755),
    (API, "root", "root", 0o755),
    (ETC, "root", USER, 0o750),
    # Others pass: containers of the driver `lxc` lie below. It is root's, so nobody exchanges what root works on in it.
    (STATE, "root", "root", 0o711),
    (STATE / "keys", USER, USER, 0o700),
    (STATE / "state", USER, USER, 0o700),
    (TREE, USER, USER, 0o755),
    # The record of the last one, which the API reads.
    (STATE / "backup", "root", "root", 0o755),
    (Path("/var/backups/zlh"), "root", "root", 0o700),
)
# Unpacks with the library of the version itself: the standard library of this Python has no zstd, and that of Debian 12
# has no filters yet.
UNPACK = """
import sys, tarfile, zstandard
trust = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
with open(sys.argv[1], "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as plain:
    with tarfile.open(fileobj=plain, mode="r|") as tar:
        tar.extractall(sys.argv[2], **trust)
"""


class Refused(Exception):
    """What is asked for cannot be done; the sentence says why, and what to do."""


@dataclass
class Work:
    """What is done, told as it is done; in a dry run it is told alone."""

    is_dry: bool
    changed: int = 0

    def keep(self, what: str) -> None:
        """Say that something is right."""
        print(f"  ok       {what}", flush=True)

    def change(self, what: str, act: Callable[[], object]) -> None:
        """Say that something is changed, and change it."""
        self.changed += 1
        print(f"  {'would   ' if self.is_dry else 'changed '} {what}", flush=True)
        if not self.is_dry:
            act()

    def settle(self, what: str, act: Callable[[], object], *, is_right: bool) -> None:
        """Change something that is not right."""
        if is_right:
            self.keep(what)
        else:
            self.change(what, act)


@dataclass(frozen=True, slots=True)
class Release:
    """The folder of a release that is whole."""

    folder: Path
    version: str
    # Tells two builds of one version apart.
    digest: str
    # The archive of units and scripts, and what its bytes must be.
    deploy: str
    deploy_digest: str

    @property
    def place(self) -> Path:
        """Where this version is installed."""
        return API / self.version

    @property
    def control(self) -> Path:
        """Its units and scripts, once it is installed."""
        return self.place / "deploy/control"


def main() -> None:
    """Install, and say how it ended."""
    asked = _parse()
    os.umask(0o022)
    try:
        refuse_host()
        with LOCK.open("w") as lock:
            # Whoever may read it may hold it, for ever.
            os.fchmod(lock.fileno(), 0o600)
            hold(lock.fileno())
            code = install(asked)
    except (Refused, OSError) as wrong:
        print(f"install: {wrong}", file=sys.stderr)
        code = 1
    raise SystemExit(code)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Install a release of ZLH on its control host.")
    parser.add_argument("release", type=Path, nargs="?", default=Path(__file__).resolve().parent)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--domain", help="for the first configuration: below which containers have their names")
    parser.add_argument("--driver", choices=("lxc", "proxmox"), default="lxc", help="for it (default: %(default)s)")
    parser.add_argument("--signers", type=Path, help="the file by which releases are known from now on")
    parser.add_argument("--wheels", type=Path, help="take libraries from this folder, and ask no package index")
    return parser.parse_args()


def hold(lock: int) -> None:
    """Be the only one who installs here; raise Refused where another does.

    Programs that are started hold it too: those of a run that was killed go on for a moment, in the same folders.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Refused("Another installation is at work on this host; try again when it has ended.") from None
    os.set_inheritable(lock, True)


def install(asked: argparse.Namespace) -> int:
    """Do all of it, in an order in which each step may be the last; return the exit code."""
    release = read_release(asked.release.resolve(), asked.signers)
    work = Work(asked.dry_run)
    before = current_version()
    print(f"ZLH {release.version}, " + (f"after {before}" if before else "the first on this host"))
    refuse_older(before, release.version)
    settle_host(work, asked.signers)
    settle_version(work, release, asked.wheels)
    settle_configuration(work, release, asked)
    settle_database(work, release)
    settle_artifacts(work, release)
    waits = find_waiting(release)
    is_new = settle_units(work, release)
    if waits:
        print("\nThe configuration waits for you: " + "; ".join(waits))
        print(f"Edit {CONFIG}, then run this again.")
        return WAITS_FOR_CONFIGURATION
    settle_running(work, release, before=before, is_new=is_new)
    word = "would change" if work.is_dry else "changed"
    print(f"\nDone: {word} {work.changed}." if work.changed else "\nDone: changed nothing.")
    if before is None:
        print("The first operator: zlh-api operator you@example.org   (asks for a password)")
    return 0


# ---- what is refused


def refuse_host() -> None:
    """Raise Refused with everything that this host lacks, all at once."""
    wrong = []
    if os.geteuid() != 0:
        wrong.append("it must be root who installs")
    if not Path("/run/systemd/system").is_dir():
        wrong.append("systemd is not what runs this host")
    needed = {"runuser": "util-linux", "useradd": "passwd", "psql": "postgresql", "pg_dump": "postgresql"}
    wrong += [
        f"{name} is not here (Debian: apt install {package})" for name, package in needed.items() if not _has(name)
    ]
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], check=False, capture_output=True).returncode:
        wrong.append("Python cannot make environments (Debian: apt install python3-venv)")
    for place, least in NEEDED_BYTES.items():
        free = shutil.disk_usage(place).free
        if free < least:
            wrong.append(f"{place} has {free >> 20} MiB left, and {least >> 20} are needed")
    if wrong:
        raise Refused("This host cannot be installed on: " + "; ".join(wrong) + ".")


def _has(program: str) -> bool:
    return shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") is not None


def read_release(folder: Path, signers: Path | None) -> Release:
    """Return a release whose every file is what its sums say, and its sums what was signed; raise Refused."""
    if not (folder / SUMS).is_file():
        raise Refused(f"{folder} is no release: there is no {SUMS} in it.")
    trusted = signers or (SIGNERS if SIGNERS.is_file() else None)
    if trusted is not None:
        _verify_signature(folder, trusted)
    else:
        print("Nobody's signature is asked for: whose this release is, you know. --signers asks for one from now on.")
    text = (folder / SUMS).read_text()
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in text.splitlines())}
    for name, digest in sums.items():
        path = folder / name
        if not path.is_file() or hash_file(path) != digest:
            raise Refused(f"{path} is not what {SUMS} says: unpack the release anew.")
    wheels = [match for name in sums if (match := re.fullmatch(r"wheels/zlh_api-([0-9.]+)-py3-none-any\.whl", name))]
    deploys = [name for name in sums if re.fullmatch(r"zlh-deploy-[^/]+\.tar\.zst", name)]
    if len(wheels) != 1 or len(deploys) != 1 or "requirements.txt" not in sums:
        raise Refused(f"{folder} is no release: its API is not in {SUMS}.")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Release(folder, wheels[0][1], digest, deploy=deploys[0], deploy_digest=sums[deploys[0]])


def _verify_signature(folder: Path, signers: Path) -> None:
    if not (folder / SIGNATURE).is_file():
        raise Refused(f"{folder / SUMS} is not signed, and {signers} says by whom it must be.")
    verify = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", SIGNER, "-n", NAMESPACE]
    try:
        with (folder / SUMS).open("rb") as signed:
            done = subprocess.run(
                [*verify, "-s", str(folder / SIGNATURE)], check=False, stdin=signed, capture_output=True, text=True
            )
    except FileNotFoundError:
        raise Refused("ssh-keygen is not here to verify the signature (Debian: apt install openssh-client).") from None
    if done.returncode != 0:
        raise Refused(f"{folder / SUMS} is not signed by whom {signers} names: {(done.stderr or done.stdout).strip()}")


def refuse_older(before: str | None, version: str) -> None:
    """Raise Refused where this would go back: the database may be ahead of an older version."""
    if before is not None and parse_version(version) < parse_version(before):
        raise Refused(f"{before} is installed, and {version} is older. The way back is a backup (docs/operations.md).")


def parse_version(text: str) -> tuple[int, ...]:
    """Return a version to compare by."""
    return tuple(int(part) for part in text.split("."))


def current_version() -> str | None:
    """Return what runs here, or is about to."""
    return CURRENT.readlink().name if CURRENT.is_symlink() else None


# ---- the host


def settle_host(work: Work, signers: Path | None) -> None:
    """Have the user and the folders."""
    work.settle(f"user {USER}", _add_user, is_right=has_user())
    for folder in FOLDERS:
        place, owner, group, mode = folder
        what = f"folder {place} {owner}:{group} {mode:04o}"
        work.settle(what, partial(_make_folder, *folder), is_right=_is_folder(*folder))
    if signers is not None:
        settle_file(work, SIGNERS, signers.read_bytes())
    link = STATE / "api.toml"
    is_right = link.is_symlink() and link.readlink() == CONFIG
    work.settle(f"link {link}", lambda: _switch(link, CONFIG), is_right=is_right)


def has_user() -> bool:
    """Tell whether the API's user is there."""
    try:
        pwd.getpwnam(USER)
        grp.getgrnam(USER)
    except KeyError:
        return False
    return True


def _add_user() -> None:
    run(
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        str(STATE),
        "--shell",
        "/usr/sbin/nologin",
        USER,
    )


def _is_folder(place: Path, owner: str, group: str, mode: int) -> bool:
    try:
        status = place.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        raise Refused(
            f"{place} is no folder, and nothing is done through a link: put the folder itself there, or mount it."
        )
    # By numbers: whose folder it was on another machine may have no name here.
    is_owned = has_user() and (status.st_uid, status.st_gid) == (pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
    return is_owned and stat.S_IMODE(status.st_mode) == mode


def _make_folder(place: Path, owner: str, group: str, mode: int) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    # What was looked at may have been exchanged since, as long as its parent was another user's.
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(folder, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
        os.fchmod(folder, mode)
    finally:
        os.close(folder)


# ---- the version


def settle_version(work: Work, release: Release, wheels: Path | None) -> None:
    """Have this version in a folder of its own: whole, or not there."""
    proof = release.place / ".complete"
    if proof.is_file():
        if proof.read_text() != release.digest:
            raise Refused(
                f"Another build of {release.version} is installed: one that is built anew gets a new version."
            )
        work.keep(f"version {release.place}")
        return
    work.change(f"version {release.place}", lambda: _install_version(release, wheels, proof))


def _install_version(release: Release, wheels: Path | None, proof: Path) -> None:
    shutil.rmtree(release.place, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(release.place))
    python = str(release.place / "bin/python")
    pip = [python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-index", "--find-links", str(wheels.resolve())] if wheels is not None else []
    run(*pip, *alone, "--require-hashes", "--only-binary=:all:", "-r", str(release.folder / "requirements.txt"))
    _unpack_deploy(release, python)
    os.sync()
    _write(proof, release.digest.encode(), 0o644)


def _unpack_deploy(release: Release, python: str) -> None:
    """Unpack a copy that nobody else can write to and that is still what the sums say: pip took its time since."""
    copy = release.place / release.deploy
    shutil.copyfile(release.folder / release.deploy, copy)
    if hash_file(copy) != release.deploy_digest:
        raise Refused(f"{release.folder / release.deploy} was changed meanwhile: unpack the release anew.")
    run(python, "-I", "-c", UNPACK, str(copy), str(release.place))
    copy.unlink()


# ---- configuration, database, artifacts


def settle_configuration(work: Work, release: Release, asked: argparse.Namespace) -> None:
    """Have a configuration: yours where there is one, else a first one."""
    if CONFIG.exists():
        work.keep(f"configuration {CONFIG}, as you have it")
        return
    if asked.domain is None:
        raise Refused("There is no configuration yet: say --domain example.org, and --driver lxc or proxmox.")
    if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", asked.domain) is None:
        raise Refused(f"{asked.domain!r} is no domain (lower case, no trailing dot).")
    work.change(
        f"configuration {CONFIG}, for {asked.driver} below {asked.domain}", lambda: _write_config(release, asked)
    )


def _write_config(release: Release, asked: argparse.Namespace) -> None:
    template = release.control / f"api.{asked.driver}.toml"
    if asked.driver == "lxc" and not (ETC / "artifacts.env").exists():
        _write(ETC / "artifacts.env", b"ZLH_ARTIFACTS_HOST=10.81.0.1\n", 0o644)
    _write(CONFIG, template.read_bytes().replace(b"@DOMAIN@", asked.domain.encode()), 0o640, group=USER)


def settle_database(work: Work, release: Release) -> None:
    """Have the roles and the database on this host's PostgreSQL; one that is elsewhere is yours to make."""
    if CONFIG.exists() and not is_local(read_config().get("database", {}).get("dsn", "")):
        work.keep("database, which the configuration names elsewhere")
        return
    known = "select count(*) = 3 from pg_roles where rolname in ('zlh', 'zlh-api', 'root')"
    is_there = "select count(*) = 1 from pg_database where datname = 'zlh'"
    said = _psql("-c", known, "-c", is_there).split()
    if said != ["t", "t"]:
        work.change("roles and database zlh", lambda: _psql("--file", "-", stdin=release.control / "database.sql"))
    elif not work.is_dry and (done := _psql("--file", "-", stdin=release.control / "database.sql")):
        work.change(f"roles and database zlh ({', '.join(done.splitlines())})", lambda: None)
    else:
        work.keep("roles and database zlh")


def is_local(dsn: str) -> bool:
    """Tell whether an address is that of the installer's own database: `postgresql:///zlh`, by a socket."""
    matched = re.fullmatch(r"postgres(?:ql)?:///zlh(?:\?(.*))?", dsn)
    if matched is None:
        return False
    settings = parse_qsl(matched[1] or "", keep_blank_values=True)
    is_by_socket = all(value.startswith("/") for name, value in settings if name == "host")
    return is_by_socket and not {name for name, _ in settings} & {"hostaddr", "port", "service", "dbname"}


def _psql(*arguments: str, stdin: Path | None = None) -> str:
    command = ["runuser", "-u", "postgres", "--", "psql", "-XAt", "--set=ON_ERROR_STOP=1", *arguments]
    given = stdin.read_text() if stdin is not None else ""
    done = subprocess.run(command, check=False, input=given, capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        raise Refused(f"PostgreSQL does not do what it must (systemctl status postgresql): {done.stderr.strip()}")
    return done.stdout.strip()


def settle_artifacts(work: Work, release: Release) -> None:
    """Have keys and a tree, and the agent of this version offered in it."""
    # The tree's own root is the last that is made.
    is_begun = (KEYS / "root.json").is_file() and (TREE / "metadata/1.root.json").is_file()
    work.settle(f"artifacts {TREE}, keys {KEYS}", lambda: artifacts(release, "init"), is_right=is_begun)
    archives = [path.name.removesuffix(".json") for path in (release.folder / "artifacts").rglob("*.json")]
    is_published = is_begun and release.place.is_dir() and is_offered(release)
    what = f"artifacts of this release: {', '.join(sorted(archives))}"
    if not is_published and is_begun and not (KEYS / "targets.pem").is_file():
        print(f"  left     {what}: the key that publishes is not here; import and publish them where it is")
        return
    work.settle(what, lambda: _offer(release), is_right=is_published)


def is_offered(release: Release) -> bool:
    """Tell whether clients are offered every artifact of a release."""
    wanted = [json.loads(path.read_text()) for path in (release.folder / "artifacts").rglob("*.json")]
    rows = json.loads(artifacts(release, "list", "--json"))
    there = {(row["name"], row["version"], row["platform"]) for row in rows if row["state"] == "published"}
    return {(record["name"], record["version"], record["platform"]) for record in wanted} <= there


def _offer(release: Release) -> None:
    # The release may lie where the API's user may not look.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as lent:
        Path(lent).chmod(0o755)
        shutil.copytree(release.folder / "artifacts", Path(lent, "artifacts"))
        shutil.copy(release.folder / SUMS, lent)
        artifacts(release, "import", lent)
    artifacts(release, "publish")


def artifacts(release: Release, *arguments: str) -> str:
    """Run `zlh-api artifacts …` of this version as its user; return what it prints."""
    return run_as(USER, str(release.place / "bin/zlh-api"), "artifacts", *arguments)


def run_as(user: str, *argv: str) -> str:
    """Run a program as a user, with nothing of this environment."""
    clean = ["env", "-i", "PATH=/usr/bin:/bin", f"USER={user}", f"LOGNAME={user}", f"HOME={STATE}", f"ZLH_HOME={STATE}"]
    return run("runuser", "-u", user, "--", *clean, *argv)


# ---- what runs


def read_config() -> Mapping[str, Any]:
    """Return the configuration as it stands, nothing where there is none; raise Refused where it is no TOML."""
    try:
        return tomllib.loads(CONFIG.read_text())
    except FileNotFoundError:
        # As in a dry run on a new host.
        return {}
    except tomllib.TOMLDecodeError as wrong:
        raise Refused(f"{CONFIG} cannot be read: {wrong}.") from None


def service_user() -> str:
    """Return as whom the API runs."""
    return "root" if read_config().get("driver") == "lxc" else USER


def find_waiting(release: Release) -> list[str]:
    """Return what is still to be said in the configuration before the API can start with it."""
    if not CONFIG.exists() or not release.place.is_dir():
        return []
    lines = CONFIG.read_text().splitlines()
    found = [f"line {number}" for number, line in enumerate(lines, 1) if TO_FILL_IN in line.partition("#")[0]]
    if found:
        return [f"{TO_FILL_IN} in {', '.join(found)}"]
    try:
        run_as(service_user(), str(release.place / "bin/zlh-api"), "check-config", "--config", str(CONFIG))
    except Refused as wrong:
        return [str(wrong)]
    return []


def settle_units(work: Work, release: Release) -> bool:
    """Have the units of this version, and the command; tell whether the API has to be started anew for it."""
    if not release.control.is_dir():
        work.change(f"units {', '.join(UNITS)}", lambda: None)
        return True
    before = work.changed
    for name in UNITS:
        settle_file(work, SYSTEM / name, (release.control / name).read_bytes())
    if CONFIG.exists() and read_config().get("driver") == "lxc":
        settle_file(work, DROP_IN, (release.control / "lxc.conf").read_bytes())
    elif DROP_IN.exists():
        work.change(f"{DROP_IN} taken away", DROP_IN.unlink)
    is_new = work.changed != before
    settle_file(work, Path("/usr/local/bin/zlh-api"), (release.control / "zlh-api.sh").read_bytes(), mode=0o755)
    # A run that was killed may have written them and no more.
    is_unread = any(_show(unit, "NeedDaemonReload") == "yes" for unit in UNITS)
    if is_unread and not is_new:
        work.change("units read by systemd", lambda: None)
    if (is_new or is_unread) and not work.is_dry:
        run("systemctl", "daemon-reload")
    return is_new or is_unread


def settle_running(work: Work, release: Release, *, before: str | None, is_new: bool) -> None:
    """Have this version run: a backup first where another one did, then the switch, then the start."""
    if before not in {None, release.version}:
        work.change("backup of what was there", lambda: run("systemctl", "start", "zlh-backup.service"))
    is_switched = before == release.version
    work.settle(
        f"link {CURRENT} -> {release.version}", lambda: _switch(CURRENT, Path(release.version)), is_right=is_switched
    )
    wanted = ["zlh-api.service", "zlh-backup.timer"]
    if "keys" not in read_config().get("artifacts", {}):
        wanted.append("zlh-artifacts.service")
    for unit in wanted:
        # The link may have been switched by a run that came no further.
        is_stale = is_new or not is_switched or running_version(unit) not in {None, release.version}
        _settle_unit(work, unit, is_stale=is_stale and unit != "zlh-backup.timer")
    if not work.is_dry:
        wait_healthy()
        work.keep("the API answers")


def _settle_unit(work: Work, unit: str, *, is_stale: bool) -> None:
    work.settle(
        f"{unit} at every start", lambda: run("systemctl", "enable", "--quiet", unit), is_right=_is_enabled(unit)
    )
    if unit == "zlh-artifacts.service":
        # It may wait for the bridge that the API makes, and is started again until it has it.
        is_right = _state(unit) in {"active", "activating"} and not is_stale
        work.settle(f"{unit} runs", lambda: run("systemctl", "restart", "--no-block", unit), is_right=is_right)
        return
    is_right = _state(unit) == "active" and not is_stale
    work.settle(f"{unit} runs", lambda: run("systemctl", "restart", unit), is_right=is_right)


def running_version(unit: str) -> str | None:
    """Return of which version the process of a unit is, None where there is none."""
    pid = _show(unit, "MainPID")
    try:
        return parse_running(Path("/proc", pid, "cmdline").read_bytes()) if pid not in {"", "0"} else None
    except (FileNotFoundError, ProcessLookupError):
        return None


def parse_running(command_line: bytes) -> str | None:
    """Return the version whose Python runs: the kernel starts a script with that of its first line, without links."""
    program = Path(os.fsdecode(command_line.split(b"\0")[0]))
    return program.relative_to(API).parts[0] if program.is_relative_to(API) else None


def _show(unit: str, what: str) -> str:
    return run("systemctl", "show", f"--property={what}", "--value", unit).strip()


def _is_enabled(unit: str) -> bool:
    return subprocess.run(["systemctl", "is-enabled", "--quiet", unit], check=False).returncode == 0


def _state(unit: str) -> str:
    asked = ["systemctl", "is-active", unit]
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()


def wait_healthy() -> None:
    """Return once the API says that it is there; raise Refused where it does not within a minute."""
    config = read_config()
    url = f"http://{config.get('listen_host', '127.0.0.1')}:{config.get('listen_port', 8400)}/api/healthz"
    until = time.monotonic() + HEALTH_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
                return
        except (urllib.error.URLError, OSError) as wrong:
            if time.monotonic() > until:
                raise Refused(f"The API does not answer at {url} ({wrong}): journalctl -u zlh-api says why.") from None
        time.sleep(0.5)


# ---- files and programs


def settle_file(work: Work, path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Have a file with these bytes and this mode, of root."""
    is_right = path.is_file() and path.read_bytes() == data and path.stat().st_mode & 0o7777 == mode
    work.settle(f"file {path}", lambda: _write(path, data, mode), is_right=is_right)


def _write(path: Path, data: bytes, mode: int, *, group: str = "root") -> None:
    """Write a file: it has its name once it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    shutil.chown(fresh, "root", group)
    fresh.chmod(mode)
    fresh.rename(path)


def _switch(link: Path, target: Path) -> None:
    """Have a link lead there: to the old place or to the new one at any moment."""
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(*argv: str) -> str:
    """Run a program; return what it prints, or raise Refused with what it complains of."""
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", close_fds=False
    )
    if done.returncode != 0:
        raise Refused(
            f"{' '.join(argv[:6])} … ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-1500:]}"
        )
    return done.stdout


if __name__ == "__main__":
    main()
