"""The survey of the proxy's directory: everything that lies there, and only what has changed is read again."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from zlh_api.edge import directory_rules, local_directory
from zlh_api.edge.directory_rules import Unread
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteWish, text_sha256
from zlh_api.edge.port import FoundRoute, RoutesUnreadable
from zlh_api.edge.traefik_file import MARK_PREFIX, render_route_file
from zlh_common.names import HostName, OwnerMark, Vmid

OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
FILE = render_route_file(
    RouteWish(OWNER, HostName("dev", Vmid(101)), "10.0.0.5", (ExposedPort(3000),)), ProxySetting("x", "w", "u")
)


async def survey(directory: LocalRouteDirectory) -> dict[str, FoundRoute]:
    """Return what is found, by name."""
    return {file.name: file for file in await directory.survey()}


async def test_a_directory_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    """The first file makes it."""
    directory = LocalRouteDirectory(tmp_path / "routes")
    assert await directory.survey() == []
    await directory.publish(FILE)
    assert await directory.survey() == [FoundRoute(FILE.name, OWNER, FILE.sha256)]


async def test_everything_that_lies_there_is_found(tmp_path: Path) -> None:
    """Files without a mark, folders, links and pipes, which are never opened; but not what is being written."""
    await asyncio.to_thread(_fill, tmp_path)
    found = await survey(LocalRouteDirectory(tmp_path))
    assert found == {
        "extra.yml": FoundRoute("extra.yml", None, text_sha256(b"http: {}"), _ALONE),
        "binary.yml": FoundRoute("binary.yml", OWNER, text_sha256(_BINARY)),
        "folder.yml": FoundRoute("folder.yml", None, ""),
        "link.yml": FoundRoute("link.yml", None, "", _ALONE),
        "pipe.yml": FoundRoute("pipe.yml", None, "", _PIPE),
    }


_ALONE = "http has nothing in it, and cannot stand alone"
_PIPE = "it is no file that can be read, and whoever tries may wait for ever"
_BINARY = f"{MARK_PREFIX}{OWNER}\n".encode() + b"\xff\xfe"


def _fill(folder: Path) -> None:
    (folder / "extra.yml").write_text("http: {}")
    (folder / "binary.yml").write_bytes(_BINARY)
    (folder / "folder.yml").mkdir()
    (folder / "link.yml").symlink_to("extra.yml")
    os.mkfifo(folder / "pipe.yml")
    (folder / ".dev-101.yml.new").write_text("half")


async def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its time stamps have settled; one that changes is, also where its size and its name stay."""
    monkeypatch.setattr(directory_rules, "REREAD_ONE_IN", 1_000_000)
    read: list[str] = []
    really = local_directory._read

    def count(path: Path) -> bytes | Unread | None:
        read.append(path.name)
        return really(path)

    monkeypatch.setattr(local_directory, "_read", count)
    clock = FakeClock()
    directory, path = LocalRouteDirectory(tmp_path / "routes", clock=clock.monotonic), tmp_path / "routes/dev-101.yml"
    await asyncio.to_thread(_fill_one, path)
    await directory.survey()
    await directory.survey()
    # So short a time after it was first seen it could change again and look the same.
    assert len(read) == 2
    clock.advance(3)
    for _ in range(3):
        await directory.survey()
    assert len(read) == 3
    await asyncio.to_thread(_change, path)
    assert (await survey(directory))[path.name].sha256 == text_sha256(b"b")
    await asyncio.to_thread(path.unlink)
    assert await directory.survey() == []
    assert directory._known == {}


def _fill_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a")


def _change(path: Path) -> None:
    before = path.stat()
    time.sleep(0.02)
    path.write_text("b")
    # As a hand does that wants not to be seen.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


async def test_a_directory_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """It is not taken for an empty one."""
    await asyncio.to_thread((tmp_path / "file").write_text, "")
    with pytest.raises(RoutesUnreadable):
        await LocalRouteDirectory(tmp_path / "file").survey()
