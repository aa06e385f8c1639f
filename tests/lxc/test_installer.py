"""The installer on a fresh host, as somebody uses it who has a release and nothing else."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from build_release import sign
from guards import leaks
from lxc.control_host import control_host, fetch_wheels, put_folder
from lxc.guest import Guest
from real_parts.release import as_version, build_release

pytestmark = [pytest.mark.real("lxc", "package-index", "portal"), pytest.mark.timeout(1500)]
PATIENCE_S = 300.0
NEXT = "9.87.6"
HEALTH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8400/api/{}', timeout=60).read().decode())"
# What somebody writes into the first configuration who has no Traefik yet, and whose containers are processes.
EDIT = r"""
import pathlib, re
path = pathlib.Path('/etc/zlh/api.toml')
text = path.read_text().replace('driver = "lxc"', 'driver = "process"')
text = re.sub(r'(?m)^api_(ca|credentials) = .*\n', '', text).replace('https://127.0.0.1:8401', 'http://127.0.0.1:8401')
path.write_text(text + '\n[process]\nroot = "/var/lib/zlh/state/guests"\n')
"""
# Ends the installer in the middle of the installation of the libraries, and waits for the end of what it has started,
# which holds its lock.
INTERRUPTED = """
python3 /root/release/install.py --wheels /root/wheels --domain example.org &
pid=$!
until ls /opt/zlh/api/*/lib/python3*/site-packages/aiohttp > /dev/null 2>&1; do sleep 0.05; done
kill -9 $pid
wait $pid
exec flock /run/zlh-install.lock true
"""
# Ends the installer of the next version once it has switched to it, before anything of it runs.
SWITCHED = r"""
mkdir /root/cut
cat > /root/cut/systemctl <<'END'
#!/bin/sh
[ "$1" != restart ] || { kill -9 $PPID; exit 1; }
exec /usr/bin/systemctl "$@"
END
chmod +x /root/cut/systemctl
PATH=/root/cut:$PATH exec python3 /root/later/install.py --wheels /root/wheels --signers /root/signers
"""
# What a run leaves that was killed between a unit's file and systemd's reading of it.
UNREAD = """
unit=/etc/systemd/system/zlh-artifacts.service
cp $unit /root/kept && echo LimitCORE=0 >> $unit && systemctl daemon-reload && cp /root/kept $unit
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Lend a folder for releases and libraries."""
    folder = Path(tempfile.mkdtemp(prefix="zlh-installer-"))
    leaks.long_lived.add(str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def release(place: Path) -> Path:
    """Build the release of this checkout, and fetch its libraries."""
    built = build_release(place / "dist", "--without-templates")
    fetch_wheels(built, place / "wheels")
    return built


@pytest.fixture(scope="module")
def later(release: Path, place: Path) -> Path:
    """Make the release that comes after it."""
    return as_version(release, NEXT, place / "later")


class Host:
    """A host, and what somebody does as its root."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def run(self, *argv: str) -> str:
        """Run a program that must succeed; return what it prints."""
        return self._guest.run(*argv)

    def attach(self, *argv: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program, however it ends."""
        folder = self._guest.folder
        inside = ["lxc-attach", "-P", str(folder.parent), "-n", folder.name, "--clear-env", "--"]
        return subprocess.run(
            [*inside, *argv], check=False, capture_output=True, text=True, timeout=PATIENCE_S, input=given
        )

    def install(self, *options: str, release: str = "release", code: int = 0) -> str:
        """Run the installer of a release; it must end with this code. Return all that it says."""
        argv = ("python3", f"/root/{release}/install.py", "--wheels", "/root/wheels", *options)
        done = self.attach(*argv)
        assert done.returncode == code, (done.stdout, done.stderr, self.attach("journalctl", "-u", "zlh-api").stdout)
        return done.stdout + done.stderr

    def ask(self, path: str) -> str:
        """Return what the API of this host answers."""
        return self.run("python3", "-c", HEALTH.format(path))

    async def wait(self, *argv: str) -> None:
        """Return once a program succeeds."""
        async with asyncio.timeout(PATIENCE_S):
            while (await asyncio.to_thread(self.attach, *argv)).returncode:
                await asyncio.sleep(0.2)


async def wait_artifacts(host: Host) -> None:
    """Return once the artifact server runs; the installer does not wait for it."""
    await host.wait("systemctl", "is-active", "--quiet", "zlh-artifacts")


async def test_a_host_from_nothing_to_the_next_version(release: Path, later: Path, place: Path) -> None:
    """Dry, half, whole, again, and up; what is asked for at each stage stands in the steps below."""
    async with control_host() as guest:
        host = Host(guest)
        for source, target in ((release, "release"), (place / "wheels", "wheels")):
            await asyncio.to_thread(put_folder, guest, source, f"/root/{target}")
        await host.wait("runuser", "-u", "postgres", "--", "psql", "-c", "select 1")
        await asyncio.to_thread(refuses_and_does_nothing_dry, host)
        await asyncio.to_thread(goes_on_after_an_end_in_the_middle, host)
        await asyncio.to_thread(runs_once_it_is_configured, host)
        await wait_artifacts(host)
        await asyncio.to_thread(changes_nothing_the_second_time, host)
        await asyncio.to_thread(is_worked_with, host)
        await asyncio.to_thread(puts_right_what_hands_did, host)
        await wait_artifacts(host)
        await asyncio.to_thread(goes_up_and_not_back, host, guest, later, place)
        await asyncio.to_thread(comes_back_from_its_backup, host, "later")
        await asyncio.to_thread(sees_the_host_as_root, host)


async def test_a_host_of_the_next_debian(release: Path, place: Path) -> None:
    """Debian 13, with its Python and its PostgreSQL: installed, worked with, lost, and brought back."""
    wheels = place / "wheels-3.13"
    await asyncio.to_thread(partial(fetch_wheels, release, wheels, python="3.13"))
    async with control_host("trixie") as guest:
        host = Host(guest)
        for source, target in ((release, "release"), (wheels, "wheels")):
            await asyncio.to_thread(put_folder, guest, source, f"/root/{target}")
        await host.wait("runuser", "-u", "postgres", "--", "psql", "-c", "select 1")
        await asyncio.to_thread(partial(host.install, "--domain", "example.org", code=3))
        await asyncio.to_thread(runs_once_it_is_configured, host)
        await wait_artifacts(host)
        await asyncio.to_thread(is_worked_with, host)
        await asyncio.to_thread(partial(comes_back_from_its_backup, host, "release"))


def refuses_and_does_nothing_dry(host: Host) -> None:
    """Without a domain there is no first configuration; and a dry run says what would be, on a host as it was."""
    assert "--domain" in host.install("--dry-run", code=1)
    said = host.install("--dry-run", "--domain", "example.org")
    assert "would    user zlh-api" in said
    assert "changed  " not in said
    assert (
        host.run("sh", "-c", "ls -d /opt/zlh /etc/zlh /var/lib/zlh /var/backups/zlh 2>/dev/null; id zlh-api; true")
        == ""
    )
    damaged = "cp -r /root/release /root/damaged; echo >> /root/damaged/requirements.txt"
    host.run("sh", "-c", damaged)
    assert "requirements.txt is not what SHA256SUMS says" in host.install("--domain", "a.b", release="damaged", code=1)


def goes_on_after_an_end_in_the_middle(host: Host) -> None:
    """Killed while it puts libraries in: no version counts as installed; the same command completes it and waits."""
    host.attach("sh", "-c", INTERRUPTED)
    assert host.run("sh", "-c", "ls -a /opt/zlh/api/*/.complete /opt/zlh/api/current 2>/dev/null; true") == ""
    said = host.install("--domain", "example.org", code=3)
    assert re.search(r"changed  version /opt/zlh/api/[0-9.]+\n", said)
    assert "traefik.api_ca /etc/zlh/traefik-api.crt is no file" in said
    assert host.attach("systemctl", "is-active", "--quiet", "zlh-api").returncode != 0
    # What helps with the configuration is there while it waits.
    looked = host.attach("/usr/local/bin/zlh-api", "check-config")
    assert looked.returncode != 0
    assert "traefik.api_ca /etc/zlh/traefik-api.crt is no file" in looked.stdout + looked.stderr


def runs_once_it_is_configured(host: Host) -> None:
    """With the configuration filled in, the API answers at the end, as a user of its own and not as root."""
    host.run("python3", "-c", EDIT)
    # There is no bridge of the driver `lxc` here.
    host.run("sh", "-c", "echo ZLH_ARTIFACTS_HOST=127.0.0.1 > /etc/zlh/artifacts.env")
    assert "the API answers" in host.install()
    assert '"status"' in host.ask("healthz")
    assert host.run("sh", "-c", "ps -o user= -p $(systemctl show -P MainPID zlh-api)") == "zlh-api"
    units = ("zlh-api", "zlh-backup.timer", "zlh-artifacts")
    assert [host.run("systemctl", "is-enabled", unit) for unit in units] == ["enabled"] * 3


def changes_nothing_the_second_time(host: Host) -> None:
    """Neither what it says nor any file that it keeps."""
    kept = (
        "find /etc/zlh /etc/systemd/system /opt/zlh /usr/local/bin -newer /root/mark; systemctl show -P MainPID zlh-api"
    )
    host.run("touch", "/root/mark")
    pid = host.run("systemctl", "show", "-P", "MainPID", "zlh-api")
    assert "Done: changed nothing." in host.install()
    assert host.run("sh", "-c", kept) == pid


def is_worked_with(host: Host) -> None:
    """The first operator, the catalog and a backup, by the commands that the documents name."""
    made = host.attach("zlh-api", "operator", "admin@example.org", given="correct horse battery\n")
    assert "is an operator" in made.stdout, made.stderr
    assert "everything is as signed" in host.run("zlh-api", "artifacts", "verify")
    host.run("systemctl", "start", "zlh-backup")
    assert "h old" in host.run("python3", "/opt/zlh/api/current/deploy/control/backup.py", "status")
    assert host.run("sh", "-c", "find /var/backups/zlh -perm /077") == ""


def puts_right_what_hands_did(host: Host) -> None:
    """A unit that was edited and a folder that was opened are as they should be; the drop-in of somebody stays."""
    host.run("sh", "-c", "echo Nice=19 >> /etc/systemd/system/zlh-backup.service; chmod 777 /var/lib/zlh/keys")
    host.run("mkdir", "-p", "/etc/systemd/system/zlh-api.service.d")
    host.run("sh", "-c", "printf '[Service]\\nNice=1\\n' > /etc/systemd/system/zlh-api.service.d/own.conf")
    said = host.install()
    assert "changed  file /etc/systemd/system/zlh-backup.service" in said
    assert "changed  folder /var/lib/zlh/keys zlh-api:zlh-api 0700" in said
    assert "Nice=1" in host.run("cat", "/etc/systemd/system/zlh-api.service.d/own.conf")
    host.run("sh", "-ec", UNREAD)
    assert "changed  units read by systemd" in host.install()
    assert host.run("systemctl", "show", "-P", "NeedDaemonReload", "zlh-artifacts") == "no"


def goes_up_and_not_back(host: Host, guest: Guest, later: Path, place: Path) -> None:
    """Signed by whom it must be, after a backup; the configuration is the same bytes, and the way back refused."""
    key, signers = place / "maker", place / "signers"
    key.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers.write_text('zlh-release namespaces="zlh-release" ' + key.with_suffix(".pub").read_text())
    put_folder(guest, later, "/root/unsigned")
    sign(later, key)
    put_folder(guest, later, "/root/later")
    host.attach("sh", "-c", "cat > /root/signers", given=signers.read_text())
    before, backups = host.run("sha256sum", "/etc/zlh/api.toml"), host.run("ls", "/var/backups/zlh")
    assert "is not signed" in host.install("--signers", "/root/signers", release="unsigned", code=1)
    host.attach("sh", "-c", SWITCHED)
    assert NEXT not in host.ask("version")
    assert host.run("ls", "/var/backups/zlh") != backups
    assert "changed  zlh-api.service runs" in host.install("--signers", "/root/signers", release="later")
    assert NEXT in host.ask("version")
    assert host.run("sha256sum", "/etc/zlh/api.toml") == before
    assert "Done: changed nothing." in host.install(release="later")
    # The signers are known by now, and this release was never signed.
    assert "is not signed" in host.install(code=1)
    host.run("rm", "/etc/zlh/release-signers")
    assert "is older" in host.install(code=1)


def comes_back_from_its_backup(host: Host, release: str) -> None:
    """Database, keys and configuration are lost, and brought back as the page says; the operator is there again."""
    host.run("systemctl", "stop", "zlh-api", "zlh-artifacts")
    host.run("runuser", "-u", "postgres", "--", "dropdb", "zlh")
    host.run("rm", "-r", "/var/lib/zlh/keys", "/etc/zlh")
    backup = "backup=$(ls -d /var/backups/zlh/2* | tail -1)"
    host.run("sh", "-ec", f"{backup}; mkdir /etc/zlh; tar -xpf $backup/configuration.tar -C /etc/zlh")
    restore = "python3 /opt/zlh/api/current/deploy/control/backup.py restore $backup"
    assert "database zlh: restored" in host.run("sh", "-ec", f"{backup}; {restore}")
    assert "Done: changed" in host.install(release=release)
    assert '"status"' in host.ask("healthz")
    assert "everything is as signed" in host.run("zlh-api", "artifacts", "verify")
    asked = ("psql", "-XAt", "postgresql:///zlh", "-c", "select email from users")
    assert host.run(*asked) == "admin@example.org"


def sees_the_host_as_root(host: Host) -> None:
    """With the drop-in of the driver `lxc`: root, known to the database, in the host's own world of mounts."""
    host.run("cp", "/opt/zlh/api/current/deploy/control/lxc.conf", "/etc/systemd/system/zlh-api.service.d/lxc.conf")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "zlh-api")
    assert '"status"' in host.ask("healthz")
    pid = host.run("systemctl", "show", "-P", "MainPID", "zlh-api")
    assert host.run("ps", "-o", "user=", "-p", pid) == "root"
    assert host.run("readlink", f"/proc/{pid}/ns/mnt") == host.run("readlink", "/proc/1/ns/mnt")
    # The command follows: it is root as well, and finds the database as the same role.
    assert "up to date" in host.run("zlh-api", "migrate")
