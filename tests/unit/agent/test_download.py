"""One archive from a server that may do anything: what arrives is the signed file, or a stable code."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.runtime_shop import noise
from zlh_agent.runtimes import download as downloading
from zlh_agent.runtimes.download import KEEP_PART_S, TRIES, download, partial_path, sweep_partials
from zlh_agent.runtimes.errors import ArtifactHashMismatch, ArtifactSizeMismatch, ArtifactUnavailable
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
    monkeypatch.setattr("zlh_agent.runtimes.download.time.sleep", waited.append)
    return waited


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where downloads are collected."""
    return tmp_path / "downloads"


@pytest.fixture
def fetch(origin: ArtifactOrigin, folder: Path, waits: list[float]) -> Fetch:
    """Return what downloads the archive, in a thread of its own, and returns its bytes."""

    def run() -> bytes:
        return download(ARTIFACT, artifacts_url=origin.url, folder=folder, show=lambda _done, _total: None).read_bytes()

    return lambda: asyncio.to_thread(run)


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
    assert len(origin.asked) <= TRIES


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
        Fault(status=302, headers=(("Location", "/archives/b"),)),
        Fault(status=204),
        Fault(status=416),
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


@pytest.mark.parametrize("claimed", ["bytes 0-299999/300000", "bytes 10000-299999/300000", "items 1000-2000/3000", ""])
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
    assert (len(origin.asked), waits) == (TRIES, [0.5, 1, 2])


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


async def test_a_body_that_trickles_is_given_up(
    origin: ArtifactOrigin, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then does not hold an install for days."""
    monkeypatch.setattr(downloading, "RATE_GRACE_S", -1)
    monkeypatch.setattr(downloading, "MIN_BYTES_PER_S", 1 << 60)
    with contextlib.suppress(ArtifactUnavailable):
        await fetch()
    assert len(origin.asked) > 1


async def test_progress_grows_to_the_whole(origin: ArtifactOrigin, folder: Path, waits: list[float]) -> None:
    """It starts where the part ends, and never goes back."""
    part(folder, CONTENT[:1000])
    shown: list[tuple[int, int]] = []
    await asyncio.to_thread(
        download, ARTIFACT, artifacts_url=f"{origin.url}/", folder=folder, show=lambda *at: shown.append(at)
    )
    assert shown == sorted(shown)
    assert shown[0][0] > 1000
    assert shown[-1] == (300_000, 300_000)


def test_parts_that_nobody_goes_on_with_are_deleted(tmp_path: Path) -> None:
    """A part that still grows, or may be taken up again soon, stays."""
    now = 1_800_000_000.0
    for name, age_s in (("a" * 64, KEEP_PART_S + 1), ("b" * 64, KEEP_PART_S - 1), ("c" * 64, 0)):
        partial_path(tmp_path, name).touch()
        os.utime(partial_path(tmp_path, name), (now - age_s, now - age_s))
    sweep_partials(tmp_path, now=now)
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["b", "c"]
    sweep_partials(tmp_path / "never-made", now=now)
