"""Fetching pinned files from real servers on loopback that lead on, lie, are slow to answer or are not to be asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.game_source import pin
from guards import network
from zlh_agent.games import fetching
from zlh_agent.games.address_rules import places_of
from zlh_agent.games.errors import GameFileRefused, GameFileUnavailable
from zlh_agent.games.fetching import Fetcher
from zlh_common.errors import ZlhError
from zlh_common.schema.template import PinnedFile

CONTENT = bytes(range(256)) * 64


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away for good is given up at once."""
    monkeypatch.setattr(fetching, "ROUNDS", 2)
    monkeypatch.setattr(fetching, "MAX_RETRY_AFTER_S", 0.1)


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[ArtifactOrigin]:
    """Serve the file."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.jar").write_bytes(CONTENT)
    async with ArtifactOrigin(tmp_path / "tree") as running:
        yield running


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """Return the folder that files are fetched into."""
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


async def fetch(staging: Path, file: PinnedFile, *private: str) -> bytes:
    """Fetch a file; return what it is."""

    def work() -> bytes:
        fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
        try:
            Fetcher(fd, private=places_of(private), on_bytes=lambda _count: None).fetch(file, file.urls, "it")
        finally:
            os.close(fd)
        return (staging / "it").read_bytes()

    return await asyncio.to_thread(work)


async def refusal(staging: Path, file: PinnedFile, *private: str) -> ZlhError:
    """Return why a file cannot be had; nothing with its name is left."""
    with pytest.raises(ZlhError) as refused:
        await fetch(staging, file, *private)
    assert not (staging / "it").exists()
    return refused.value


@pytest.mark.parametrize("kind", ["sha1", "sha256", "sha512"])
async def test_a_file_is_what_its_hash_says(origin: ArtifactOrigin, staging: Path, kind: str) -> None:
    """Whichever of the three its upstream has published."""
    file = pin("a.jar", CONTENT, f"{origin.url}/a.jar", kind=kind)
    assert await fetch(staging, file, origin.url) == CONTENT
    assert await asyncio.to_thread(os.listdir, staging) == ["it"]


async def test_the_next_address_is_asked_when_one_lies(origin: ArtifactOrigin, staging: Path) -> None:
    """A file of the right size and other bytes is not taken, from the one nor from the other."""
    (origin.tree / "lie.jar").write_bytes(CONTENT[::-1])
    file = pin("a.jar", CONTENT, f"{origin.url}/lie.jar", f"{origin.url}/a.jar")
    assert await fetch(staging, file, origin.url) == CONTENT
    only = pin("a.jar", CONTENT, f"{origin.url}/lie.jar")
    (staging / "it").unlink()
    assert isinstance(await refusal(staging, only, origin.url), GameFileRefused)
    assert (staging / "it.part").stat().st_size == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(extra=1), Fault(extra=10_000, is_unannounced=True), Fault(extra=-1), Fault(wrong_bytes=True),
        Fault(headers=(("Content-Encoding", "gzip"),)), Fault(sends_part=True, content_range="bytes 5-9/10"),
        Fault(status=404),
    ],
)  # fmt: skip
async def test_what_is_no_such_file_is_refused_for_good(origin: ArtifactOrigin, staging: Path, fault: Fault) -> None:
    """Longer, shorter, encoded, a part, other bytes, nothing: told once, and never tried again by itself."""
    origin.always["a.jar"] = fault
    error = await refusal(staging, pin("a.jar", CONTENT, f"{origin.url}/a.jar"), origin.url)
    assert not error.retryable
    assert len(origin.asked) == 1


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(status=429, headers=(("Retry-After", "9999"),)), Fault(cut_after=99)]
)
async def test_what_may_pass_is_tried_again(origin: ArtifactOrigin, staging: Path, fault: Fault) -> None:
    """A server that has too much to do, or whose line breaks; what has arrived is kept."""
    origin.always["a.jar"] = fault
    file = pin("a.jar", CONTENT, f"{origin.url}/a.jar")
    error = await refusal(staging, file, origin.url)
    assert isinstance(error, GameFileUnavailable)
    assert error.retryable
    origin.always.clear()
    assert await fetch(staging, file, origin.url) == CONTENT


async def test_a_part_of_somebody_else_accuses_no_server(origin: ArtifactOrigin, staging: Path) -> None:
    """What was left there is wrong: it is begun anew, and the server is believed."""
    (staging / "it.part").write_bytes(b"x" * 1000)
    file = pin("a.jar", CONTENT, f"{origin.url}/a.jar")
    assert await fetch(staging, file, origin.url) == CONTENT
    assert origin.ranges("a.jar") == ["bytes=1000-", None]


async def test_a_link_in_the_place_of_a_part_is_not_written_through(origin: ArtifactOrigin, staging: Path) -> None:
    """It leads wherever somebody wants."""
    victim = staging.parent / "victim"
    victim.write_bytes(b"mine")
    (staging / "it.part").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        await fetch(staging, pin("a.jar", CONTENT, f"{origin.url}/a.jar"), origin.url)
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_an_address_that_is_none_of_the_internet_is_not_asked(
    origin: ArtifactOrigin, staging: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is written; only what is configured may be, by its host and port."""
    # Ways to write this very machine, which the guard of connections does not know.
    monkeypatch.setattr(network, "own_test_hosts", {*network.own_test_hosts, host.strip("[]")})
    error = await refusal(staging, pin("a.jar", CONTENT, f"http://{host}:{origin.port}/a.jar"))
    assert "no address that may be connected to" in error.detail or "not known" in error.detail
    assert origin.asked == []


@pytest.fixture
async def leading(origin: ArtifactOrigin) -> AsyncIterator[str]:
    """Serve redirects: `/hop/N` leads through N of them to the file, `/to?u=…` anywhere."""

    async def hop(request: web.Request) -> web.Response:
        left = int(request.match_info["left"])
        target = f"/hop/{left - 1}" if left > 1 else f"{origin.url}/a.jar"
        return web.Response(status=302, headers={"Location": target})

    async def lead(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": request.query["u"]} if "u" in request.query else {})

    application = web.Application()
    application.router.add_get("/hop/{left}", hop)
    application.router.add_get("/to", lead)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_five_redirects_are_followed_and_no_more(origin: ArtifactOrigin, leading: str, staging: Path) -> None:
    """Each is looked at before it is followed."""
    assert await fetch(staging, pin("a.jar", CONTENT, f"{leading}/hop/5"), leading, origin.url) == CONTENT
    (staging / "it").unlink()
    error = await refusal(staging, pin("a.jar", CONTENT, f"{leading}/hop/6"), leading, origin.url)
    assert "more than 5 times" in error.detail


async def test_a_redirect_leads_to_no_private_address(origin: ArtifactOrigin, leading: str, staging: Path) -> None:
    """Nor to another protocol, nor nowhere; the server that leads there is asked, and nobody behind it."""
    for target in (f"{origin.url}/a.jar", "file:///etc/passwd", "http://user:x@1.1.1.1/", ""):
        query = f"?u={target}" if target else ""
        error = await refusal(staging, pin("a.jar", CONTENT, f"{leading}/to{query}"), leading)
        assert not error.retryable
    assert origin.asked == []
