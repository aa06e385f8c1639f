"""The line to the proxy's machine: cut, slow, gone and back, with another key; what is published stays whole."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncssh
import pytest

from component.edge.conftest import make_connection
from fakes.clock import FakeClock
from fakes.sshd import CutProxy, Sshd
from zlh_api.circuit import Circuit
from zlh_api.drivers.port import SystemAway
from zlh_api.edge import sftp_connection
from zlh_api.edge.directory_rules import WRITING, Unread, is_temporary
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish
from zlh_api.edge.port import RoutesUnreadable, RouteWriteFailed
from zlh_api.edge.sftp_connection import ProxyHostKeyWrong, ProxyLoginRefused, ProxyServerUnfit, SftpConnection
from zlh_api.edge.sftp_directory import SftpRouteDirectory
from zlh_api.edge.sftp_session import SftpSession
from zlh_api.edge.sftp_wire import Reply, Request
from zlh_api.edge.traefik_file import render_route_file
from zlh_common.errors import ConfigInvalid
from zlh_common.names import HostName, OwnerMark, Vmid

pytestmark = pytest.mark.usefixtures("sshd")
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")


def route(*ports: int, vmid: int = 101) -> RouteFile:
    """Return a file of one container."""
    wish = RouteWish(OWNER, HostName("dev", Vmid(vmid)), "10.0.0.5", tuple(map(ExposedPort, ports)))
    return render_route_file(wish, ProxySetting("example.org", "web", "http://api"))


OLD, NEW = route(3000), route(3000, 4000)


@asynccontextmanager
async def opened(sshd: Sshd, folder: Path, **changes: object) -> AsyncIterator[SftpRouteDirectory]:
    """Give the directory over a line of its own."""
    connection = make_connection(sshd, **changes)
    try:
        yield SftpRouteDirectory(connection, folder, folder.with_name("quarantine"))
    finally:
        await connection.close()


def known_at(sshd: Sshd, port: int, folder: Path) -> Path:
    """Return known hosts by which the server is known at another port."""
    path = folder / "known_hosts"
    path.write_text((sshd.folder / "known_hosts").read_text().replace(f":{sshd.port}", f":{port}"))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an empty directory."""
    path = tmp_path / "dynamic"
    path.mkdir()
    return path


def assert_whole(folder: Path, *allowed: str | None) -> None:
    """A loader sees one of these, and nothing else that it would read."""
    path = folder / OLD.name
    assert (path.read_text() if path.exists() else None) in allowed
    others = {str(each.relative_to(folder)) for each in folder.rglob("*")} - {OLD.name, WRITING}
    assert all(map(is_temporary, others)), others


@pytest.mark.parametrize("is_upward", [True, False], ids=["to the server", "from the server"])
async def test_a_line_that_is_cut_anywhere_leaves_old_or_new(
    sshd: Sshd, folder: Path, tmp_path: Path, is_upward: bool
) -> None:
    """Publication and withdrawal, cut after every so many bytes; the next try over another line brings it about."""
    async with CutProxy(sshd.port) as line:
        known = known_at(sshd, line.port, tmp_path)
        for step in ("publish", "withdraw"):
            cut, limit = True, 1
            while cut:
                (folder / OLD.name).write_text(OLD.text)
                async with opened(sshd, folder, port=line.port, known_hosts=known) as directory:
                    await directory.validate()
                    line.arm(limit, is_upward=is_upward)
                    cut = await _is_cut(directory, step)
                    line.arm(None)
                assert_whole(folder, OLD.text, NEW.text if step == "publish" else None)
                limit += 53
            async with opened(sshd, folder) as directory:
                await directory.publish(NEW)
            assert_whole(folder, NEW.text)
            assert limit > 500


async def _is_cut(directory: SftpRouteDirectory, step: str) -> bool:
    try:
        if step == "publish":
            await directory.publish(NEW)
        else:
            await directory.withdraw(OLD.name, OWNER)
    except SystemAway:
        return True
    return False


async def test_a_line_that_is_cut_while_it_is_made_is_a_system_away(sshd: Sshd, folder: Path, tmp_path: Path) -> None:
    """Anywhere in the greeting, the exchange of keys and the signing in."""
    async with CutProxy(sshd.port) as line:
        known = known_at(sshd, line.port, tmp_path)
        for is_upward in (True, False):
            for limit in range(1, 2200, 311):
                line.arm(limit, is_upward=is_upward)
                async with opened(sshd, folder, port=line.port, known_hosts=known) as directory:
                    with suppress(SystemAway):
                        await directory.publish(OLD)
                assert_whole(folder, OLD.text, None)


async def test_an_end_between_any_two_operations_leaves_old_or_new(
    sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was asked for last, and whether its answer was still seen: nothing more of it reaches there."""
    really, asked, allowed, is_after = SftpSession.ask, 0, 0, False

    async def ask(self: SftpSession, *requests: Request) -> list[Reply]:
        nonlocal asked
        asked += 1
        if asked > allowed:
            self.abandon("killed")
        replies = await really(self, *requests)
        if asked == allowed and is_after:
            self.abandon("killed")
        return replies

    monkeypatch.setattr(SftpSession, "ask", ask)
    for is_after in (False, True):  # noqa: B007 - `ask` reads it
        allowed, is_done = 1, False
        while not is_done:
            (folder / OLD.name).write_text(OLD.text)
            asked = 0
            async with opened(sshd, folder) as directory:
                try:
                    await directory.publish(NEW)
                    is_done = True
                except SystemAway:
                    allowed += 1
            assert_whole(folder, OLD.text, NEW.text)
        assert allowed > 6
    asked, allowed = 0, 10_000
    async with opened(sshd, folder) as directory:
        await directory.publish(NEW)


async def test_many_share_one_connection(sshd: Sshd, folder: Path) -> None:
    """Two hundred publications at once, of which none is lost when the line is."""
    connection = make_connection(sshd)
    directory = SftpRouteDirectory(connection, folder, folder.with_name("quarantine"))
    files = [route(3000, vmid=number) for number in range(100, 300)]
    await asyncio.gather(*map(directory.publish, files))
    assert connection.opened == 1
    assert _texts(folder) == {file.name: file.text for file in files}
    await connection.close()
    await directory.publish(OLD)
    assert connection.opened == 2
    await connection.close()


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


async def test_a_machine_that_is_away_is_asked_seldom_and_found_again(sshd: Sshd, tmp_path: Path) -> None:
    """Who waits is told at once; once a second somebody looks, and the one that finds it tells everybody."""
    server, folder = Sshd(tmp_path / "sshd"), tmp_path / "dynamic"
    folder.mkdir()
    back: list[str] = []
    clock = FakeClock()
    circuit = Circuit("the proxy's machine", clock=clock)
    circuit.on_closed = back.append
    connection = SftpConnection(server.access(), circuit)
    directory = SftpRouteDirectory(connection, folder, tmp_path / "quarantine")
    for _ in range(3):
        with pytest.raises(SystemAway, match="the proxy's machine"):
            await directory.publish(OLD)
    await asyncio.to_thread(server.start)
    with pytest.raises(SystemAway):
        await directory.publish(OLD)
    clock.advance(2)
    await directory.publish(OLD)
    assert back == ["the proxy's machine"]
    # It is started anew: the line is lost, and the next one is made by whoever needs it.
    await connection.close()
    await asyncio.to_thread(server.stop)
    with pytest.raises(SystemAway):
        await directory.publish(NEW)
    await asyncio.to_thread(server.start)
    clock.advance(2)
    await directory.publish(NEW)
    assert len(back) == 2
    await connection.close()
    await asyncio.to_thread(server.stop)


async def test_a_machine_that_hangs_costs_bounded_time(sshd: Sshd, folder: Path, tmp_path: Path) -> None:
    """However many wait, they wait together: for one line, and for none that would be made in its place meanwhile."""
    async with CutProxy(sshd.port) as line:
        known = known_at(sshd, line.port, tmp_path)
        async with opened(sshd, folder, port=line.port, known_hosts=known, stall_s=0.4) as directory:
            await directory.publish(OLD)
            before, line.is_hanging = line.lines, True
            results = await asyncio.gather(*(_publish(directory) for _ in range(50)))
            line.is_hanging = False
            assert line.lines - before <= 1
            assert all(isinstance(each, SystemAway) for each in results)
        async with opened(sshd, folder) as directory:
            await directory.publish(NEW)
    assert_whole(folder, NEW.text)


async def _publish(directory: SftpRouteDirectory) -> Exception | None:
    try:
        await directory.publish(NEW)
    except SystemAway as away:
        return away
    return None


@pytest.mark.parametrize("how", ["another", "unknown", "another kind"])
async def test_another_key_of_the_machine_is_refused(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own code; it is not asked again and again, and goes on once people have put the right one there."""
    monkeypatch.setattr(sftp_connection, "REFUSED_FOR_S", 0.3)
    server, folder = Sshd(tmp_path / "sshd"), tmp_path / "dynamic"
    folder.mkdir()
    good = (server.folder / "known_hosts").read_text()
    match how:
        case "another":
            server.change_host_key(is_known=False)
        case "another kind":
            server.change_host_key("ecdsa-sha2-nistp256", is_known=False)
        case _:
            (server.folder / "known_hosts").write_text("")
    await asyncio.to_thread(server.start)
    async with opened(server, folder) as directory:
        for _ in range(5):
            with pytest.raises(ProxyHostKeyWrong, match="compare its key"):
                await directory.publish(OLD)
        assert not ProxyHostKeyWrong.retryable
        assert {each.name for each in folder.rglob("*")} <= {WRITING}
        assert "Accepted" not in server.log()
        assert server.log().count("Connection closed by") + server.log().count("Unable to negotiate") <= 2
        if how == "unknown":
            (server.folder / "known_hosts").write_text(good)
        else:
            public = await asyncio.to_thread(_public_key, server)
            (server.folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {public}")
        await asyncio.sleep(0.35)
        await directory.publish(OLD)
    await asyncio.to_thread(server.stop)


def _public_key(server: Sshd) -> str:
    return asyncssh.read_private_key(str(server.folder / "host_key")).export_public_key().decode()


async def test_a_login_that_is_refused_says_so(sshd: Sshd, folder: Path, tmp_path: Path) -> None:
    """Another key than the one that the machine knows; and a key that others may read is not used at all."""
    other = Sshd(tmp_path / "other")
    async with opened(sshd, folder, key=other.folder / "key") as directory:
        with pytest.raises(ProxyLoginRefused, match="authorized keys"):
            await directory.publish(OLD)
    (other.folder / "key").chmod(0o644)
    async with opened(sshd, folder, key=other.folder / "key") as directory:
        with pytest.raises(ConfigInvalid, match="0600"):
            await directory.publish(OLD)
    async with opened(sshd, folder, known_hosts=tmp_path / "nowhere") as directory:
        with pytest.raises(ConfigInvalid, match="host keys cannot be read"):
            await directory.publish(OLD)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("ForceCommand internal-sftp -P fsync", "fsync"),
        ("ForceCommand internal-sftp -P posix-rename", "posix-rename"),
        ("ForceCommand /bin/false", "closed"),
    ],
    ids=["no fsync", "no rename", "no sftp"],
)
async def test_a_server_that_cannot_do_it_is_told(tmp_path: Path, extra: str, reason: str) -> None:
    """OpenSSH offers what it refuses; then it is the publication that fails, and nothing is left."""
    server, folder = Sshd(tmp_path / "sshd", extra=extra), tmp_path / "dynamic"
    folder.mkdir()
    await asyncio.to_thread(server.start)
    async with opened(server, folder) as directory:
        with pytest.raises((ProxyServerUnfit, RouteWriteFailed, SystemAway)) as told:
            await directory.publish(OLD)
        assert reason in str(told.value) or isinstance(told.value, RouteWriteFailed), told.value
    assert {each.name for each in folder.rglob("*")} <= {WRITING}
    await asyncio.to_thread(server.stop)


async def test_a_greeting_without_the_extensions_is_unfit(
    sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any server but OpenSSH's."""
    monkeypatch.setattr("zlh_api.edge.sftp_session.parse_version", lambda _message: {})
    async with opened(sshd, folder) as directory:
        with pytest.raises(ProxyServerUnfit, match=re.escape("lacks fsync@openssh.com and posix-rename@openssh.com")):
            await directory.publish(OLD)


async def test_a_server_that_speaks_nonsense_is_let_go(
    sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is longer than any may be is not waited for."""
    async with opened(sshd, folder) as directory:
        await directory.validate()
        really = SftpSession.data_received

        def receive(self: SftpSession, data: bytes, datatype: object) -> None:
            really(self, b"\xff\xff\xff\xff" + data, None)

        monkeypatch.setattr(SftpSession, "data_received", receive)
        with pytest.raises(SystemAway, match="its SFTP is wrong"):
            await directory.fetch(OLD.name)


async def test_five_thousand_files_are_read_until_they_have_settled(
    sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second survey reads what the first one has read a moment after it was written, the third next to nothing."""
    for number in range(100, 5100):
        (folder / f"dev-{number}.yml").write_text(OLD.text)
    connection = make_connection(sshd)
    clock = FakeClock()
    directory = SftpRouteDirectory(connection, folder, folder.with_name("quarantine"))
    directory._clock = clock.monotonic
    read: list[int] = []
    fetch = directory._place.fetch_contents

    async def count(names: Sequence[str]) -> list[bytes | Unread | None]:
        read[-1] += len(names)
        return await fetch(names)

    monkeypatch.setattr(directory._place, "fetch_contents", count)
    for _ in range(3):
        read.append(0)
        assert len(await directory.survey()) == 5000
        clock.advance(3)
    await connection.close()
    assert read[:2] == [5000, 5000]
    assert read[2] < 500


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that other users reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.real("root")
async def test_a_place_that_our_user_may_not_write_is_told(open_folder: Path) -> None:
    """Listing, writing and clearing: each refusal says whose folder it must be."""
    server = Sshd(open_folder / "sshd", user="nobody", extra="ForceCommand internal-sftp")
    folder = open_folder / "dynamic"
    folder.mkdir()
    (folder / "bad.yml").write_text("http: {")
    await asyncio.to_thread(server.start)
    async with opened(server, folder) as directory:
        with pytest.raises(RouteWriteFailed, match="give it the folder"):
            await directory.publish(OLD)
        found = {file.name: file for file in await directory.survey()}
        assert "cannot be moved away" in (found["bad.yml"].trouble or "")
        folder.chmod(0o700)
        with pytest.raises(RoutesUnreadable, match="give it the folder"):
            await directory.survey()
        # Whoever owns the folder may rename what is somebody else's.
        for path in (folder, open_folder):
            await asyncio.to_thread(shutil.chown, path, "nobody")
            path.chmod(0o755)
        await directory.validate(most_age_s=0)
        assert not (folder / "bad.yml").exists()
        await directory.publish(OLD)
    await asyncio.to_thread(server.stop)
