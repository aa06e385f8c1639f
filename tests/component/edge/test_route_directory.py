"""The directory wherever it lies: published, read back, withdrawn, surveyed, validated, cleared."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from component.edge.conftest import Rig
from zlh_api.edge import directory_rules
from zlh_api.edge.directory_rules import ABANDONED_AFTER_S
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish, text_sha256
from zlh_api.edge.port import FoundRoute, RouteFileForeign, RoutesUnreadable, RouteWriteFailed
from zlh_api.edge.sftp_directory import SftpPlace
from zlh_api.edge.traefik_file import MARK_PREFIX, render_route_file
from zlh_common.names import HostName, OwnerMark, Vmid

pytestmark = pytest.mark.usefixtures("sshd")
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
GOOD = b"http: {routers: {a: {rule: 'Host(`a`)', service: s}}}\n"
BAD = b"http: {routers: {a: {rule: 'Host(`a`)'\n"


def route(*ports: int) -> RouteFile:
    """Return a file of one container."""
    wish = RouteWish(OWNER, HostName("dev", Vmid(101)), "10.0.0.5", tuple(map(ExposedPort, ports)))
    return render_route_file(wish, ProxySetting("example.org", "web", "http://api"))


FILE = route(3000)


class Denied(Exception):
    """Somebody else may act by now."""


async def survey(rig: Rig) -> dict[str, FoundRoute]:
    """Return what is found, by name."""
    return {file.name: file for file in await rig.directory.survey()}


async def test_a_file_is_published_replaced_and_withdrawn(rig: Rig) -> None:
    """Nothing but it lies there afterwards, others may read it, and once more is as good as once."""
    for file in (FILE, FILE, route(3000, 8080)):
        await rig.directory.publish(file)
        assert await rig.directory.fetch(FILE.name) == file.text
        assert await rig.directory.survey() == [FoundRoute(FILE.name, OWNER, file.sha256)]
        assert (rig.folder / FILE.name).stat().st_mode & 0o777 == 0o644
    await rig.directory.withdraw(FILE.name, "somebody else")
    assert rig.names() == [FILE.name]
    for _ in range(2):
        await rig.directory.withdraw(FILE.name, OWNER)
        assert rig.names() == []
        assert await rig.directory.fetch(FILE.name) is None


async def test_a_large_file_is_whole(rig: Rig) -> None:
    """Longer than any one message."""
    body = "x" * 700_000
    file = RouteFile(FILE.name, f"{MARK_PREFIX}{OWNER}\n{body}", "d", ())
    await rig.directory.publish(file)
    assert await rig.directory.fetch(FILE.name) == file.text


@pytest.mark.parametrize("what", ["file", "folder", "pipe", "link"])
async def test_what_is_not_ours_keeps_its_place(rig: Rig, what: str) -> None:
    """A stranger at our name is neither replaced nor removed, whatever it is."""
    path, elsewhere = rig.folder / FILE.name, rig.folder / "elsewhere"

    def make() -> None:
        elsewhere.write_bytes(GOOD)
        match what:
            case "file":
                path.write_bytes(GOOD)
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case _:
                path.symlink_to(elsewhere)

    await asyncio.to_thread(make)
    if what == "pipe":
        # It would keep the proxy waiting for ever, so it goes, and the name is free.
        await rig.directory.publish(FILE)
        assert len(list(rig.quarantine.glob("*/*"))) == 1
        return
    with pytest.raises(RouteFileForeign):
        await rig.directory.publish(FILE)
    await rig.directory.withdraw(FILE.name, OWNER)
    assert rig.names() == sorted([FILE.name, "elsewhere"])


async def test_who_may_not_act_any_more_changes_nothing(rig: Rig) -> None:
    """Whenever it is asked, and it is asked before each effect; nothing is left behind."""
    await rig.directory.publish(FILE)
    asked = allowed = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > allowed:
            raise Denied

    while True:
        asked = 0
        try:
            await rig.directory.publish(route(1), check=check)
            break
        except Denied:
            assert await rig.directory.fetch(FILE.name) == FILE.text
            allowed += 1
    # The file is made and renamed in two steps.
    assert allowed == 2
    asked = allowed = 0
    with pytest.raises(Denied):
        await rig.directory.withdraw(FILE.name, OWNER, check=check)
    await rig.directory.survey()
    assert rig.names() == [FILE.name]


def fill(folder: Path) -> None:
    """Put everything there that nobody should."""
    (folder / "sub/deeper").mkdir(parents=True)
    (folder / "sub/deeper/good.yml").write_bytes(GOOD)
    (folder / "sub/bad.YAML").write_bytes(BAD)
    (folder / "bad.yml").write_bytes(BAD)
    (folder / ".dot.toml").write_bytes(b"[http\n")
    (folder / "readme.txt").write_bytes(BAD)
    (folder / "good.yml").write_bytes(GOOD)
    (folder / "template.yml").write_bytes(b"{{ bad")
    (folder / "dangling.yml").symlink_to("nowhere")
    (folder / "to-folder.yml").symlink_to("sub")
    (folder / "to-good.yml").symlink_to("good.yml")
    (folder / "folder.yml").mkdir()
    os.mkfifo(folder / "pipe.yml")
    (Path(os.fsdecode(os.fsencode(folder) + b"/odd-\xff\n.yml"))).write_bytes(BAD)
    (folder / FILE.name).write_text(FILE.text + "{")
    (folder / ".dev-101.yml.0123456789abcdef.new").write_text("half")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.yml"))


async def test_what_stops_the_proxy_is_moved_away_unchanged(rig: Rig) -> None:
    """Broken for certain: with its bytes and its name; the rest stays, and what is ours is left to who wrote it."""
    await asyncio.to_thread(fill, rig.folder)
    await rig.directory.validate()
    odd = os.fsdecode(b"odd-\xff\n.yml")
    assert rig.quarantined() == {"bad.yml": BAD, "bad.YAML": BAD, ".dot.toml": b"[http\n", odd: BAD}
    moved = {path.name for path in rig.quarantine.glob("*/*")}
    assert moved == {"bad.yml", "bad.YAML", ".dot.toml", odd, "dangling.yml", "to-folder.yml", "pipe.yml", "s.yml"}
    assert set(rig.names()) == {
        "sub", "sub/deeper", "sub/deeper/good.yml", "readme.txt", "good.yml", "template.yml", "to-good.yml",
        "folder.yml", FILE.name, ".dev-101.yml.0123456789abcdef.new",
    }  # fmt: skip
    found = await survey(rig)
    assert {name for name, file in found.items() if file.is_quarantined} == {
        path.name for path in rig.quarantine.iterdir()
    }
    assert found["template.yml"] == FoundRoute("template.yml", None, text_sha256(b"{{ bad"))
    assert found[FILE.name].owner == OWNER
    # The same name again goes beside the first.
    await asyncio.to_thread((rig.folder / "bad.yml").write_bytes, BAD + b"2")
    await rig.directory.validate(most_age_s=0)
    assert sorted(path.read_bytes() for path in rig.quarantine.glob("*/bad.yml")) == [BAD, BAD + b"2"]


async def test_a_publication_clears_the_way_first(rig: Rig) -> None:
    """Also where what is broken has our own name; what was looked at a moment ago is believed."""
    await asyncio.to_thread((rig.folder / FILE.name).write_bytes, BAD)
    await rig.directory.publish(FILE)
    assert rig.quarantined() == {FILE.name: BAD}
    await asyncio.to_thread((rig.folder / "bad.yml").write_bytes, BAD)
    await rig.directory.publish(FILE)
    assert "bad.yml" in rig.names()
    rig.clock.advance(6)
    await rig.directory.publish(FILE)
    assert rig.names() == [FILE.name]


async def test_suspects_go_one_at_a_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates first, each with the time to show that it was the cause, whoever has moved it; never what is good."""
    for name, text in {"good.yml": GOOD, "t.yml": b"{{ x", "u.yml": b"http: {services: {a: {x: 1}}}"}.items():
        await asyncio.to_thread((rig.folder / name).write_bytes, text)
    assert await rig.directory.relieve()
    assert set(rig.quarantined()) == {"t.yml"}
    # Another process, or the same one a moment later.
    assert await rig.directory.relieve()
    assert set(rig.quarantined()) == {"t.yml"}
    monkeypatch.setattr(directory_rules, "PROVING_S", -1.0)
    assert await rig.directory.relieve()
    assert set(rig.quarantined()) == {"t.yml", "u.yml"}
    assert not await rig.directory.relieve()
    assert rig.names() == ["good.yml"]


async def test_what_a_crash_has_left_goes_when_it_is_old(rig: Rig) -> None:
    """Only what has our form, and only when it has not changed for long."""
    left, other = ".dev-101.yml.0123456789abcdef.new", ".somebody.yml.swp"
    for name in (left, other):
        await asyncio.to_thread((rig.folder / name).write_bytes, b"half")
    await rig.directory.survey()
    rig.clock.advance(ABANDONED_AFTER_S - 1)
    await asyncio.to_thread((rig.folder / left).write_bytes, b"a little more")
    await rig.directory.survey()
    rig.clock.advance(2)
    await rig.directory.survey()
    assert rig.names() == sorted([left, other])
    rig.clock.advance(ABANDONED_AFTER_S)
    await rig.directory.survey()
    assert rig.names() == [other]


async def test_an_edit_is_seen_whatever_it_looks_like(rig: Rig) -> None:
    """With the same length in the same second; and one that sets the time stamp back, when the file's turn comes."""
    await rig.directory.publish(FILE)
    path = rig.folder / FILE.name
    # Long ago by the files' clock too, as the looks below are by ours.
    os.utime(path, (1_700_000_000, 1_700_000_000))
    before = path.stat()
    for seconds in (0, 1, 3, 15):
        rig.clock.advance(seconds)
        assert (await survey(rig))[FILE.name].sha256 == FILE.sha256
    edited = FILE.text.replace("3000", "3001")

    def edit() -> None:
        path.write_text(edited)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    await asyncio.to_thread(edit)
    for _ in range(directory_rules.REREAD_ONE_IN):
        if (await survey(rig))[FILE.name].sha256 != FILE.sha256:
            break
    assert (await survey(rig))[FILE.name].sha256 == text_sha256(edited.encode())
    await rig.directory.publish(FILE)
    again = FILE.text.replace("3000", "3002")
    await asyncio.to_thread(path.write_text, again)
    with capture_logs() as told:
        await rig.directory.survey()
    assert [each["file"] for each in told if each["event"] == "route.changed_elsewhere"] == [FILE.name]
    assert (await survey(rig))[FILE.name].sha256 == text_sha256(again.encode())


async def test_what_is_read_once_is_not_read_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A survey of what has not changed reads nothing but the files whose turn it is."""
    names = [f"dev-{number}.yml" for number in range(100, 200)]
    for name in names:
        await asyncio.to_thread((rig.folder / name).write_text, FILE.text)
    for _ in range(2):
        await rig.directory.survey()
        rig.clock.advance(3)
    read: list[str] = []
    really = rig.directory._place.fetch_contents

    async def count(some: list[str]) -> list[object]:
        read.extend(some)
        return list(await really(some))

    monkeypatch.setattr(rig.directory._place, "fetch_contents", count)
    for _ in range(directory_rules.REREAD_ONE_IN):
        await rig.directory.survey()
    assert sorted(read) == names


@pytest.mark.real("root")
async def test_a_quarantine_that_cannot_be_written_stops_nobody(rig: Rig) -> None:
    """The file stays, the survey says why, and what is ours is published all the same."""
    await asyncio.to_thread(rig.quarantine.write_text, "in the way")
    await asyncio.to_thread((rig.folder / "bad.yml").write_bytes, BAD)
    await rig.directory.publish(FILE)
    assert rig.names() == ["bad.yml", FILE.name]
    if isinstance(rig.directory._place, SftpPlace):
        await asyncio.to_thread(rig.quarantine.unlink)
        return
    with pytest.raises(RoutesUnreadable):
        await rig.directory.survey()


async def test_a_folder_that_is_gone_is_told(rig: Rig) -> None:
    """Over a line nobody makes one: it would be the wrong one."""
    await asyncio.to_thread(rig.folder.rmdir)
    if isinstance(rig.directory._place, SftpPlace):
        with pytest.raises(RoutesUnreadable, match="make it, for our user"):
            await rig.directory.publish(FILE)
        with pytest.raises(RoutesUnreadable, match="make it"):
            await rig.directory.survey()
    else:
        assert await rig.directory.survey() == []
        await rig.directory.publish(FILE)


@pytest.mark.real("mounts")
async def test_a_full_disk_is_told_and_nothing_is_left(rig: Rig) -> None:
    """The old file stays whole; once there is room it goes on."""
    await asyncio.to_thread(_mount, rig.folder)
    try:
        await rig.directory.publish(FILE)
        filler = rig.folder / "filler"
        await asyncio.to_thread(_fill_up, filler)
        large = RouteFile(FILE.name, FILE.text + " " * 50_000, "d", ())
        with pytest.raises(RouteWriteFailed, match=r"full.*make room"):
            await rig.directory.publish(large)
        assert await rig.directory.fetch(FILE.name) == FILE.text
        await rig.directory.survey()
        assert rig.names() == [FILE.name, "filler"]
        await asyncio.to_thread(filler.unlink)
        await rig.directory.publish(large)
        await asyncio.to_thread(_remount_read_only, rig.folder)
        with pytest.raises(RouteWriteFailed, match="read-only"):
            await rig.directory.publish(FILE)
    finally:
        await asyncio.to_thread(_unmount, rig.folder)


def _mount(folder: Path) -> None:
    _run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))


def _remount_read_only(folder: Path) -> None:
    _run("mount", "-o", "remount,ro", str(folder))


def _unmount(folder: Path) -> None:
    _run("umount", "-l", str(folder))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def _fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return
