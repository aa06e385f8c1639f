"""One archive from a server that may do anything: what arrives is the signed file, or a stable code."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.runtime_shop import noise
from zlh_agent.runtimes.errors import ArtifactHashMismatch, ArtifactSizeMismatch, ArtifactUnavailable
from zlh_agent.runtimes.installing import download as downloading
from zlh_agent.runtimes.installing.download import (
    KEEP_PART_S,
    MARKED_S,
    ROUNDS,
    PartAge,
    decide_part,
    download,
    partial_path,
    sweep_partials,
)
from zlh_common.schema.catalog import Artifact

CONTENT = noise(300_000)
PATH = "archives/a.tar.zst"
ARTIFACT = Artifact(
    platform="linux-x86_64", path=PATH, size=len(CONTENT), unpacked_size=1, entries=1, source="x",
    source_sha256="0" * 64, sha256=hashlib.sha256(CONTENT).hexdigest(),
)  # fmt: skip
Fetch = Callable[[], Awaitable[bytes]]


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[ArtifactOrigin]:
    """Serve one archive."""
    file = tmp_path / "tree" / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    async with ArtifactOrigin(tmp_path / "tree") as running:
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pass over the waits between tries, and return how long they would have been."""
    waited: list[float] = []
    monkeypatch.setattr("zlh_agent.runtimes.installing.download.time.sleep", waited.append)
    return waited


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where downloads are collected."""
    return tmp_path / "downloads"


@pytest.fixture
def fetch(origin: ArtifactOrigin, folder: Path, waits: list[float]) -> Fetch:
    """Return what downloads the archive, in a thread of its own, and returns its bytes."""

    return lambda: asyncio.to_thread(run, [origin.url], folder)


def run(urls: Sequence[str], folder: Path) -> bytes:
    """Download from these servers, and return the bytes; the archive is deleted."""
    with download(ARTIFACT, artifacts_urls=urls, folder=folder, show=lambda _stage, _done, _total: None) as archive:
        content = archive.read()
    partial_path(folder, ARTIFACT.sha256).unlink()
    return content


def part(folder: Path, content: bytes) -> None:
    """Leave what an earlier run had collected."""
    folder.mkdir(parents=True, exist_ok=True)
    partial_path(folder, ARTIFACT.sha256).write_bytes(content)


def left(folder: Path) -> int | None:
    """Return how many bytes lie there for the next try."""
    path = partial_path(folder, ARTIFACT.sha256)
    return path.stat().st_size if path.exists() else None


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault(cut_after=0)],
        [Fault(cut_after=1), Fault(cut_after=1), Fault(cut_after=1)],
        [Fault(cut_after=299_999)],
        [Fault(status=503), Fault(status=500), Fault(status=429)],
        [Fault(cut_after=100_000), Fault(ignores_range=True)],
        [Fault(cut_after=100_000), Fault(ignores_range=True, cut_after=50_000)],
        [Fault(is_unannounced=True)],
        [Fault(is_unannounced=True, extra=-100_000)],
    ],
)
async def test_what_breaks_off_is_completed(faults: list[Fault], origin: ArtifactOrigin, fetch: Fetch) -> None:
    """A few bad answers cost a few more requests, never a wrong byte."""
    origin.misbehave(PATH, *faults)
    assert await fetch() == CONTENT
    assert len(origin.asked) <= ROUNDS


async def test_a_part_of_an_earlier_run_is_gone_on_with(origin: ArtifactOrigin, folder: Path, fetch: Fetch) -> None:
    """Only what is missing is asked for."""
    part(folder, CONTENT[:123_456])
    assert await fetch() == CONTENT
    assert origin.ranges(PATH) == ["bytes=123456-"]


async def test_a_whole_part_needs_no_server(origin: ArtifactOrigin, folder: Path, fetch: Fetch) -> None:
    """A run that was killed after the last byte is not repeated."""
    part(folder, CONTENT)
    assert await fetch() == CONTENT
    assert origin.asked == []


@pytest.mark.parametrize("content", [noise(1000, "wrong"), noise(300_000, "wrong"), bytes(299_999), noise(300_001)])
async def test_a_wrong_part_is_no_reason_to_distrust_the_server(content: bytes, folder: Path, fetch: Fetch) -> None:
    """What a broken disk made of an earlier run is thrown away, and the archive is fetched from its start."""
    part(folder, content)
    assert await fetch() == CONTENT


@pytest.mark.parametrize(
    "lie",
    [
        (Fault(wrong_bytes=True), ArtifactHashMismatch),
        (Fault(wrong_bytes=True, is_unannounced=True), ArtifactHashMismatch),
        (Fault(extra=1), ArtifactSizeMismatch),
        (Fault(extra=-1, ignores_range=True), ArtifactSizeMismatch),
        (Fault(extra=1, is_unannounced=True), ArtifactSizeMismatch),
        (Fault(extra=10_000_000, is_unannounced=True), ArtifactSizeMismatch),
    ],
)
@pytest.mark.parametrize("had", [0, 1000])
async def test_wrong_bytes_are_refused_and_deleted(
    had: int, lie: tuple[Fault, type[Exception]], origin: ArtifactOrigin, folder: Path, fetch: Fetch
) -> None:
    """Nothing of them is there for a later run to go on with."""
    if had:
        part(folder, CONTENT[:had])
    origin.always[PATH], error = lie
    with pytest.raises(error):
        await fetch()
    assert left(folder) in {None, had}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404),
        Fault(status=403),
        *(Fault(status=status, headers=(("Location", "/archives/b"),)) for status in (301, 302, 303, 307, 308)),
        Fault(status=204),
        Fault(status=416),
        Fault(status=401),
        Fault(headers=(("Content-Encoding", "gzip"),)),
        Fault(headers=(("Content-Encoding", "zstd"),), ignores_range=True),
    ],
)
async def test_an_answer_that_is_no_file_is_not_repeated(
    fault: Fault, origin: ArtifactOrigin, folder: Path, fetch: Fetch
) -> None:
    """`artifact_unavailable`, after one request; what was there stays."""
    part(folder, CONTENT[:1000])
    origin.always[PATH] = fault
    with pytest.raises(ArtifactUnavailable) as caught:
        await fetch()
    assert (caught.value.retryable, left(folder), len(origin.asked)) == (True, 1000, 1)


@pytest.mark.parametrize(
    "claimed",
    [
        "bytes 0-299999/300000",
        "bytes 10000-299999/300000",
        "items 1000-2000/3000",
        "",
        "bytes 1000-299999",
        "bytes 1000--1/300000",
        "bytes 1000-299999/300000, 0-1/2",
    ],
)
async def test_another_range_than_was_asked_for_is_not_used(
    claimed: str, origin: ArtifactOrigin, folder: Path, fetch: Fetch
) -> None:
    """Its bytes would stand in the wrong place."""
    part(folder, CONTENT[:1000])
    origin.always[PATH] = Fault(content_range=claimed or "bytes")
    with pytest.raises(ArtifactUnavailable):
        await fetch()
    assert left(folder) == 1000


async def test_a_server_that_never_recovers_is_given_up(
    origin: ArtifactOrigin, fetch: Fetch, waits: list[float]
) -> None:
    """After four tries with growing waits between them; whoever asked tries the whole again."""
    origin.always[PATH] = Fault(status=503)
    with pytest.raises(ArtifactUnavailable, match="503"):
        await fetch()
    assert (len(origin.asked), waits) == (ROUNDS, [0.5, 1, 2])


@pytest.mark.parametrize(("asked", "waited"), [("7", 7), ("9999", 20), ("soon", 0.5), ("-1", 0.5)])
async def test_the_server_may_ask_for_a_wait(
    asked: str, waited: float, origin: ArtifactOrigin, fetch: Fetch, waits: list[float]
) -> None:
    """Within bounds, and only in seconds."""
    origin.misbehave(PATH, Fault(status=503, headers=(("Retry-After", asked),)))
    assert await fetch() == CONTENT
    assert waits == [waited]


async def test_a_server_that_is_gone_is_unavailable(origin: ArtifactOrigin, fetch: Fetch) -> None:
    """Nobody listens."""
    await origin.stop()
    with pytest.raises(ArtifactUnavailable):
        await fetch()


async def test_a_body_that_stalls_is_given_up_and_gone_on_with(
    origin: ArtifactOrigin, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the silence is kept."""
    monkeypatch.setattr(downloading, "STALL_TIMEOUT_S", 0.3)
    origin.misbehave(PATH, Fault(stall_after=100_000), Fault(stall_after=0))
    assert await fetch() == CONTENT
    assert origin.ranges(PATH) == [None, "bytes=100000-", "bytes=100000-"]


async def test_progress_grows_to_the_whole(origin: ArtifactOrigin, folder: Path, waits: list[float]) -> None:
    """It starts where the part ends, and never goes back."""
    part(folder, CONTENT[:1000])
    shown: list[tuple[str, int, int]] = []
    archive = await asyncio.to_thread(
        download, ARTIFACT, artifacts_urls=[f"{origin.url}/"], folder=folder, show=lambda *at: shown.append(at)
    )
    archive.close()
    assert shown[0] == ("hash", 1000, 1000)
    assert shown[1:] == sorted(shown[1:])
    assert shown[-1] == ("download", 300_000, 300_000)


NOW = 1_800_000_000.0
YEAR_S = 365 * 86_400.0


@pytest.mark.parametrize(
    ("written", "marked", "age"),
    [
        (0, 0, PartAge.FRESH),
        (KEEP_PART_S, KEEP_PART_S, PartAge.FRESH),
        (KEEP_PART_S + 1, KEEP_PART_S + 1, PartAge.OLD),
        # Read since it was written, and long before it was old: that is no mark.
        (KEEP_PART_S + 1, 1, PartAge.OLD),
        (2 * KEEP_PART_S, MARKED_S, PartAge.MARKED),
        (2 * KEEP_PART_S, MARKED_S + 1, PartAge.OUTLIVED),
        (-1, -1, PartAge.OF_THE_FUTURE),
        # The clock was a year ahead when it was marked.
        (2 * KEEP_PART_S, -YEAR_S, PartAge.OLD),
    ],
)
def test_the_age_of_a_part(written: float, marked: float, age: PartAge) -> None:
    """In seconds before now."""
    assert decide_part(written_at=NOW - written, marked_at=NOW - marked, now=NOW) is age


def test_a_part_that_nobody_goes_on_with_is_deleted_in_the_end(tmp_path: Path) -> None:
    """Not by the first look, and not a part that still grows."""
    for name, age_s in (("a" * 64, KEEP_PART_S + 1), ("b" * 64, KEEP_PART_S / 2)):
        partial_path(tmp_path, name).touch()
        os.utime(partial_path(tmp_path, name), (NOW - age_s, NOW - age_s))
    for later, left_there in ((0, "ab"), (MARKED_S, "ab"), (MARKED_S + 1, "b")):
        sweep_partials(tmp_path, now=NOW + later)
        assert sorted(path.name[0] for path in tmp_path.iterdir()) == list(left_there)
    sweep_partials(tmp_path / "never-made", now=NOW)


@pytest.mark.parametrize("jump", [YEAR_S, -YEAR_S])
def test_a_clock_that_jumps_takes_no_part_and_keeps_none_for_ever(jump: float, tmp_path: Path) -> None:
    """A part of a minute ago stays; it goes when its time is over by the clock as it is then."""
    path = partial_path(tmp_path, "a" * 64)
    path.touch()
    os.utime(path, (NOW - 60, NOW - 60))
    sweep_partials(tmp_path, now=NOW + jump)
    assert path.exists()
    sweep_partials(tmp_path, now=NOW + 30)
    assert path.exists()
    for later in (2 * KEEP_PART_S, 2 * KEEP_PART_S + MARKED_S + 1):
        sweep_partials(tmp_path, now=NOW + max(jump, 0) + later)
    assert not path.exists()


@pytest.mark.parametrize("claimed", ["bytes 1000-299999/300001", "bytes 1000-299998/300000", "bytes 1000-2000/*"])
async def test_a_range_of_another_archive_is_refused(
    claimed: str, origin: ArtifactOrigin, folder: Path, fetch: Fetch
) -> None:
    """It tells another length than the one that was signed; what was there stays."""
    part(folder, CONTENT[:1000])
    origin.always[PATH] = Fault(content_range=claimed)
    with pytest.raises(ArtifactSizeMismatch):
        await fetch()
    assert (left(folder), len(origin.asked)) == (1000, 1)


async def test_a_total_that_is_not_told_is_no_fault(origin: ArtifactOrigin, folder: Path, fetch: Fetch) -> None:
    """`*` is what a server may say."""
    part(folder, CONTENT[:1000])
    origin.always[PATH] = Fault(content_range="bytes 1000-299999/*")
    assert await fetch() == CONTENT


async def test_a_part_that_was_not_asked_for_is_not_used(origin: ArtifactOrigin, fetch: Fetch) -> None:
    """206 to a request for all of it."""
    origin.always[PATH] = Fault(sends_part=True, content_range="bytes 0-299999/300000")
    with pytest.raises(ArtifactUnavailable):
        await fetch()


@pytest.mark.parametrize("cut", [0, 1, 4095, 65_536, 150_000, 269_999, 299_999])
async def test_a_reset_at_any_place_costs_no_byte_that_has_arrived(
    cut: int, origin: ArtifactOrigin, fetch: Fetch
) -> None:
    """Only what is missing is sent again."""
    origin.misbehave(PATH, Fault(cut_after=cut), Fault(cut_after=0))
    assert await fetch() == CONTENT
    begun = [int((asked or "bytes=0-")[6:-1]) for asked in origin.ranges(PATH)]
    assert begun == sorted(begun)
    assert begun[0] == 0
    assert begun[-1] <= cut


async def test_a_download_cut_at_nine_tenths_fetches_little_again(origin: ArtifactOrigin, fetch: Fetch) -> None:
    """No more than 15 % of the archive."""
    origin.misbehave(PATH, Fault(cut_after=270_000))
    assert await fetch() == CONTENT
    assert int((origin.ranges(PATH)[1] or "")[6:-1]) >= 255_000


def mirror(tree: Path, content: bytes) -> ArtifactOrigin:
    """Return another server of an archive of this name."""
    (tree / PATH).parent.mkdir(parents=True)
    (tree / PATH).write_bytes(content)
    return ArtifactOrigin(tree)


BAD = {
    "gone": Fault(status=404),
    "busy": Fault(status=503),
    "redirects": Fault(status=302, headers=(("Location", "http://127.0.0.1:9/"),)),
    "other bytes": Fault(wrong_bytes=True),
    "too short": Fault(extra=-1),
    "too long": Fault(extra=1, is_unannounced=True),
    "cut": Fault(cut_after=100_000),
    "encoded": Fault(headers=(("Content-Encoding", "br"),)),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("had", [0, 1000])
async def test_the_next_server_is_asked_where_one_is_bad(
    bad: str, had: int, *, origin: ArtifactOrigin, folder: Path, tmp_path: Path, waits: list[float]
) -> None:
    """At once, and whatever the first one did."""
    if had:
        part(folder, CONTENT[:had])
    origin.always[PATH] = BAD[bad]
    async with mirror(tmp_path / "other", CONTENT) as other:
        assert await asyncio.to_thread(run, [origin.url, other.url], folder) == CONTENT
    assert (len(origin.asked), waits) == (2 if bad == "other bytes" and had else 1, [])


async def test_bytes_of_a_liar_accuse_nobody_else(
    origin: ArtifactOrigin, folder: Path, tmp_path: Path, waits: list[float]
) -> None:
    """The first breaks off after wrong bytes; the second one's rest does not fit them, and its own whole does."""
    assert waits == []
    origin.always[PATH] = Fault(wrong_bytes=True, cut_after=100_000)
    async with mirror(tmp_path / "other", CONTENT) as other:
        assert await asyncio.to_thread(run, [origin.url, other.url], folder) == CONTENT
        assert other.ranges(PATH)[1:] == [None]


@pytest.mark.parametrize("liar_is_first", [True, False])
@pytest.mark.parametrize(
    "lie",
    [
        Fault(wrong_bytes=True, cut_after=1),
        Fault(wrong_bytes=True, cut_after=1, ignores_range=True),
        Fault(wrong_bytes=True, cut_after=1, ignores_range=True, is_unannounced=True),
        Fault(cut_after=1, ignores_range=True),
    ],
)
async def test_a_liar_does_not_spoil_what_comes_in_pieces(
    lie: Fault, liar_is_first: bool, *, origin: ArtifactOrigin, folder: Path, tmp_path: Path, waits: list[float]
) -> None:
    """It adds a byte, or begins anew with one, and stops; the honest one is asked by itself in the end."""
    origin.always[PATH] = Fault(cut_after=100_000)
    async with mirror(tmp_path / "other", CONTENT) as other:
        other.always[PATH] = lie
        urls = [other.url, origin.url] if liar_is_first else [origin.url, other.url]
        assert await asyncio.to_thread(run, urls, folder) == CONTENT
    assert len(waits) < 3 * ROUNDS


@pytest.mark.parametrize("odd", ["link", "folder", "pipe"])
async def test_what_is_no_file_gives_way_to_the_part(odd: str, folder: Path, tmp_path: Path, fetch: Fetch) -> None:
    """A pipe would hold the install for ever, and a link is not followed to what it leads to."""
    outside = tmp_path / "outside"
    put_in_the_way(odd, partial_path(folder, ARTIFACT.sha256), outside)
    assert await fetch() == CONTENT
    assert outside.read_text() == "as it was"


def put_in_the_way(odd: str, path: Path, outside: Path) -> None:
    """Make something that is no file of the name that a part has."""
    path.parent.mkdir()
    outside.write_text("as it was")
    if odd == "link":
        path.symlink_to(outside)
    elif odd == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)


async def test_all_servers_are_told_of(
    origin: ArtifactOrigin, folder: Path, tmp_path: Path, waits: list[float]
) -> None:
    """One that may still give it makes the failure one that passes; the words name what each did."""
    origin.always[PATH] = Fault(wrong_bytes=True)
    async with mirror(tmp_path / "other", CONTENT) as other:
        other.always[PATH] = Fault(status=503)
        with pytest.raises(ArtifactUnavailable) as caught:
            await asyncio.to_thread(run, [origin.url, other.url], folder)
        assert all(word in caught.value.detail for word in (origin.url, other.url, "SHA-256", "503"))
        assert (len(origin.asked), len(other.asked), len(waits)) == (1, ROUNDS, ROUNDS - 1)
        other.always[PATH] = Fault(extra=-5)
        with pytest.raises(ArtifactSizeMismatch) as refused:
            await asyncio.to_thread(run, [origin.url, other.url], folder)
    assert not refused.value.retryable
    assert left(folder) is None


async def test_another_archive_that_is_signed_too_is_refused(folder: Path, tmp_path: Path, waits: list[float]) -> None:
    """Of the same length, under the name of this one."""
    assert waits == []
    async with mirror(tmp_path / "other", noise(300_000, "another")) as other:
        with pytest.raises(ArtifactHashMismatch):
            await asyncio.to_thread(run, [other.url], folder)
    assert left(folder) is None


DRIPS = {
    "head": b"HTTP/1.1 200 OK\r\n" + b"X-Endless: y\r\n" * 90,
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + CONTENT,
    "piece": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493E0;" + b"x" * 10_000,
}


@pytest.mark.parametrize("where", DRIPS)
async def test_a_server_that_drips_is_given_up_wherever_it_drips(
    where: str, folder: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte after byte, each well before a read would be given up."""
    monkeypatch.setattr(downloading, "RATE_GRACE_S", 0.2)
    monkeypatch.setattr(downloading, "ROUNDS", 1)

    async def drip(writer: asyncio.StreamWriter) -> None:
        for byte in DRIPS[where]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.005)

    async with raw_server(drip) as address:
        with pytest.raises(ArtifactUnavailable, match="bytes a second"):
            await asyncio.to_thread(run, [f"http://{address}"], folder)
    assert waits == []


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 what\r\n\r\n", b"\0" * 100])
async def test_what_is_no_http_is_unavailable(answer: bytes, folder: Path, waits: list[float]) -> None:
    """Whatever listens there."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with raw_server(say) as address:
        for scheme in ("http", "https"):
            with pytest.raises(ArtifactUnavailable):
                await asyncio.to_thread(run, [f"{scheme}://{address}"], folder)
    assert waits


@contextlib.asynccontextmanager
async def raw_server(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Listen and answer in whatever bytes; yields host and port."""
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1000)
            await answer(writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
        await asyncio.gather(*handlers)
