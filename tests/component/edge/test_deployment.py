"""The proxy's machine as `deploy/traefik` sets it up: its user, its sshd, its Traefik, each file as it is shipped."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh
import pytest
import yaml

from component.edge.conftest import make_connection
from fakes.sshd import SSHD, Sshd, wait_listening
from guards.ports import free_port
from zlh_api.dev.traefik import find_traefik
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteWish
from zlh_api.edge.port import RouteNotLoaded
from zlh_api.edge.relieving_proxy import RelievingProxy
from zlh_api.edge.sftp_directory import SftpRouteDirectory
from zlh_api.edge.traefik import Traefik, read_api_trust
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_common.errors import ConfigInvalid
from zlh_common.names import HostName, OwnerMark, Vmid

pytestmark = [pytest.mark.real("mounts"), pytest.mark.real("sshd"), pytest.mark.real("traefik")]
DEPLOY = Path(__file__).parents[3] / "deploy/traefik"
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
WISH = RouteWish(OWNER, HostName("dev", Vmid(101)), "127.0.0.1", (ExposedPort(3000),))
SETTING = ProxySetting("example.org", "websecure", "http://127.0.0.1:1")
FILE = render_route_file(WISH, SETTING)
# In a world of mounts of its own: nothing of this machine is changed, and all of it goes with the last process.
WORLD = """
set -eu
mount --make-rprivate /
mkdir "$1/etc"
cp -a /etc/. "$1/etc/"
mount --bind "$1/etc" /etc
mkdir "$1/over" && mount -t tmpfs -o mode=755 tmpfs "$1/over" && mkdir "$1/over/upper" "$1/over/work"
# What lies there already stays in sight: this very checkout may.
mount -t overlay -o "lowerdir=/srv,upperdir=$1/over/upper,workdir=$1/over/work" overlay /srv
"$2/setup.sh" "$1/key.pub" 127.0.0.1 /srv/zlh-routes /etc/traefik > "$1/said"
"$2/setup.sh" "$1/key.pub" 127.0.0.1 /srv/zlh-routes /etc/traefik > "$1/said"
cp /etc/traefik/api.crt /etc/traefik/api.credentials "$1/"
mkdir -p /run/sshd
"$3" -D -e -p "$4" -h "$1/host_key" -o ListenAddress=127.0.0.1 -o PidFile=none 2> "$1/log" &
exec "$5" --configFile="$1/traefik.yml" > "$1/traefik.log" 2>&1
"""


@dataclass
class Machine:
    """What the tests know of it."""

    folder: Path
    sshd: Sshd
    api_url: str
    root: Path


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Set it up once."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    server = Sshd(folder, user="zlh")
    (folder / "key.pub").write_bytes(server.key.export_public_key())
    api = free_port()
    (folder / "traefik.yml").write_text(_static_file(folder, f"127.0.0.1:{api}"))
    arguments = [str(folder), str(DEPLOY), SSHD, str(server.port), str(find_traefik())]
    with (folder / "unshare.log").open("wb") as log:
        world = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", WORLD, "sh", *arguments], stderr=log
        )
    try:
        wait_listening(server.port, folder / "unshare.log")
        _wait_traefik(api, folder / "traefik.log")
        [child] = map(int, Path(f"/proc/{world.pid}/task/{world.pid}/children").read_text().split())
        yield Machine(folder, server, f"https://127.0.0.1:{api}", Path(f"/proc/{child}/root/srv/zlh-routes"))
    finally:
        world.send_signal(signal.SIGKILL)
        world.wait()
        shutil.rmtree(folder)


def _static_file(folder: Path, private: str) -> str:
    """Return the file that is shipped, with ports that this machine has free."""
    document = yaml.safe_load((DEPLOY / "traefik.yml").read_text())
    assert document["providers"]["file"]["directory"] == "/srv/zlh-routes/dynamic"
    for name, entry in document["entryPoints"].items():
        protocol = "/udp" if entry["address"].endswith("/udp") else ""
        entry["address"] = private if name == "traefik" else f"127.0.0.1:{free_port()}{protocol}"
    document["certificatesResolvers"]["acme"]["acme"]["storage"] = str(folder / "acme.json")
    return yaml.safe_dump(document)


def _wait_traefik(port: int, log: Path) -> None:
    """Return when its own API asks for credentials, and so has read the file that says so."""
    unchecked = ssl._create_unverified_context()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/api/version", timeout=1, context=unchecked):
                raise AssertionError("it asks for no credentials")
        except urllib.error.HTTPError as answer:
            if answer.code == 401:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text() if log.exists() else "it never began")


def _set_up(folder: Path, script: str) -> str:
    """Run a script in a world of mounts of its own, with a key and `setup KEY ADDRESS`; return what it says."""
    (folder / "key.pub").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_public_key())
    mounts = WORLD.partition('"$2/setup.sh"')[0]
    head = 'DEPLOY="$2" KEY="$1/key.pub"\nsetup() { "$DEPLOY/setup.sh" "$1" "$2" /srv/zlh-routes /etc/traefik; }\n'
    command = ["unshare", "--mount", "sh", "-c", mounts + head + script, "sh", str(folder), str(DEPLOY)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_address_has_another_certificate(tmp_path: Path) -> None:
    """And the same one keeps what it has, by name as well as by number."""
    said = _set_up(
        tmp_path,
        "for address in 10.0.0.2 10.0.0.2 fd00::2 fd00::2 proxy.internal proxy.internal; do\n"
        "setup $KEY $address > /dev/null; echo $(cksum < /etc/traefik/api.crt) $(stat -c %U /etc/traefik/api.key)\n"
        "done",
    )
    one, same, other, again, name, last = said.splitlines()
    assert (one, other, name) == (same, again, last)
    assert len({one, other, name}) == 3
    assert all(line.endswith(" traefik") for line in said.splitlines())


def test_without_a_key_it_makes_no_way_in(tmp_path: Path) -> None:
    """The API writes the folder itself: no user, nothing of sshd; and it says where the folders are."""
    said = _set_up(
        tmp_path,
        "userdel zlh 2> /dev/null || true; rm -f /etc/ssh/sshd_config.d/zlh.conf; setup - 127.0.0.1\n"
        "getent passwd zlh || echo nobody; ls /etc/ssh/sshd_config.d; stat -c %U /srv/zlh-routes/dynamic",
    )
    assert "traefik.directory          /srv/zlh-routes/dynamic" in said
    assert "sftp" not in said
    assert ("nobody" in said, "zlh.conf" in said, said.endswith("root\n")) == (True, False, True)


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("before", ["", "# mine\n"])
def test_what_sshd_refuses_is_not_left_to_it(tmp_path: Path, before: str, is_cut: bool) -> None:
    """It would not start again; what was there before is there again, or nothing is, also after a run that was cut."""
    (tmp_path / "before").write_text(before)
    cut = 'cp "$1/before" $there.before; echo Nonsense > $there\n' if is_cut else ""
    said = _set_up(
        tmp_path,
        'mkdir -p /run/sshd; cp -r "$DEPLOY" /srv/bad; DEPLOY=/srv/bad; echo Nonsense yes >> /srv/bad/sshd_zlh.conf\n'
        'there=/etc/ssh/sshd_config.d/zlh.conf; rm -f $there; [ ! -s "$1/before" ] || cp "$1/before" $there\n'
        f"{cut}setup $KEY 127.0.0.1 2> /dev/null || echo refused\n"
        "cat $there* /etc/traefik/* 2> /dev/null || true",
    )
    assert said == f"refused\n{before}"


async def test_a_route_is_published_and_confirmed(machine: Machine) -> None:
    """From the publisher's chroot through Traefik's own API, with TLS and credentials; then it is withdrawn."""
    trust = await asyncio.to_thread(read_api_trust, machine.folder / "api.crt", machine.folder / "api.credentials")
    connection = make_connection(machine.sshd)
    directory = SftpRouteDirectory(connection, Path("/dynamic"), Path("/quarantine"))
    async with Traefik(api_url=machine.api_url, web_url="http://127.0.0.1:1", trust=trust) as traefik:
        proxy = RelievingProxy(traefik, directory)
        assert await traefik.is_alive()
        (machine.root / "dynamic/bad.yml").write_text("http: {")
        for file in (render_hosts_file(SETTING), FILE):
            await directory.publish(file)
            await proxy.wait_loaded(file)
        # Root's own file, moved by who owns the folder.
        assert [path.read_text() for path in machine.root.glob("quarantine/*/bad.yml")] == ["http: {"]
        status = (machine.root / "dynamic" / FILE.name).stat()
        assert (status.st_mode & 0o777, status.st_uid != 0) == (0o644, True)
        found = {file.name: file for file in await directory.survey()}
        assert found["private-api.yml"].owner == "00000000-0000-0000-0000-000000000000"
        assert found["private-api.yml"].trouble is None
        await directory.withdraw(FILE.name, OWNER)
        await proxy.wait_unloaded(tuple(name for name, _service in FILE.routers))
    await connection.close()


@pytest.mark.parametrize(
    ("ca", "credentials", "told"),
    [
        (True, None, "refuses our credentials"),
        (True, "zlh:wrong", "refuses our credentials"),
        (False, "zlh:wrong", "a certificate that traefik.api_ca does not hold"),
    ],
    ids=["none", "wrong", "unknown authority"],
)
async def test_its_api_is_nobody_elses(
    machine: Machine, tmp_path: Path, ca: bool, credentials: str | None, told: str
) -> None:
    """Who asks without the right credentials is told so, and who believes nobody sends none."""
    file = tmp_path / "credentials"
    if credentials is not None:
        file.write_text(credentials)
        file.chmod(0o600)
    trust = await asyncio.to_thread(
        read_api_trust, machine.folder / "api.crt" if ca else None, file if credentials else None
    )
    async with Traefik(api_url=machine.api_url, web_url="http://127.0.0.1:1", trust=trust) as traefik:
        assert not await traefik.is_alive()
        with pytest.raises(RouteNotLoaded, match=told) as found:
            await traefik.wait_loaded(FILE)
        assert not found.value.is_behind
    plain = machine.api_url.replace("https", "http")
    async with aiohttp.ClientSession() as client, client.get(f"{plain}/api/rawdata") as answer:
        assert answer.status == 404


def test_files_that_cannot_be_used_are_told(machine: Machine, tmp_path: Path) -> None:
    """Before anything starts: open to others, not one line, no certificates, not there."""
    file = tmp_path / "file"
    for content, mode, told in (
        ("zlh:x", 0o644, "0600"),
        ("zlh", 0o600, "user:password"),
        ("a:b\nc", 0o600, "one line"),
    ):
        file.write_text(content)
        file.chmod(mode)
        with pytest.raises(ConfigInvalid, match=told):
            read_api_trust(None, file)
    with pytest.raises(ConfigInvalid, match="no certificates"):
        read_api_trust(file, None)
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_api_trust(None, tmp_path / "nowhere")


async def test_the_publisher_can_do_nothing_else(machine: Machine) -> None:
    """No shell, no command, no forwarding, no terminal, no link, no other folder; and no other way to sign in."""
    access = machine.sshd.access()
    known = asyncssh.read_known_hosts(str(access.known_hosts))
    options: dict[str, Any] = {
        "port": access.port,
        "username": "zlh",
        "known_hosts": known,
        "config": None,
        "agent_path": None,
    }
    options["agent_path"] = None
    good = {**options, "client_keys": [str(access.key)]}
    async with asyncssh.connect("127.0.0.1", **good) as connection:
        done = await connection.run("id; touch /dynamic/x", check=False, timeout=5, stdin=asyncssh.DEVNULL)
        assert "uid" not in str(done.stdout)
    async with asyncssh.connect("127.0.0.1", **good) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", machine.sshd.port)
    async with asyncssh.connect("127.0.0.1", **good) as connection:
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
    async with asyncssh.connect("127.0.0.1", **good) as connection, connection.start_sftp_client() as sftp:
        assert sorted(await sftp.listdir("/")) == [".", "..", "dynamic", "quarantine"]
        for path in ("/etc/passwd", "/../../etc/passwd", "/dynamic/../../etc/passwd"):
            with pytest.raises(asyncssh.SFTPError):
                await sftp.stat(path)
        with pytest.raises(asyncssh.SFTPError):
            await sftp.symlink("/etc/passwd", "/dynamic/link.yml")
        with pytest.raises(asyncssh.SFTPError):
            await sftp.mkdir("/elsewhere")
    wrong: tuple[dict[str, Any], ...] = (
        {"client_keys": [asyncssh.generate_private_key("ssh-ed25519")]},
        {"password": "zlh"},
    )
    for credentials in wrong:
        with pytest.raises(asyncssh.PermissionDenied):
            async with asyncssh.connect("127.0.0.1", **{"client_keys": None, **options, **credentials}):
                pass


def test_nothing_secret_is_shipped_or_open(machine: Machine) -> None:
    """The password is made there, kept as a hash, and nobody but root reads it."""
    etc = Path(f"{machine.root.parent.parent}/etc")
    credentials = etc / "traefik/api.credentials"
    password = credentials.read_text().strip().partition(":")[2]
    assert len(password) == 48
    for name in ("api.credentials", "api.users", "api.key"):
        assert (etc / "traefik" / name).stat().st_mode & 0o077 == 0, name
    for path in machine.root.rglob("*"):
        assert not path.is_file() or password not in path.read_text()
    assert password not in (machine.folder / "said").read_text()
    assert base64.b64decode((etc / "ssh/zlh_authorized_keys").read_text().split()[2])
    assert (etc / "ssh/zlh_authorized_keys").read_text().startswith("restrict ssh-ed25519 ")
    assert machine.root.stat().st_uid == 0
