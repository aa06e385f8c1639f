"""An install by the agent's child, against what one would type: curl, sha256sum and tar in one pipe."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

import msgspec

from bench.archives import (
    NAME,
    VERSION,
    Published,
    artifact_server,
    ensure_published,
    settle_async,
    trusted_root,
)
from bench.measure import MB, Case, Row, Run, Samples, Stopwatch, at_most, ratio_at_most, read_peak_rss, read_rss
from bench.programs import our_environment
from fakes.artifact_origin import ArtifactOrigin, Fault
from zlh_agent.runtimes.installing.installer import run_install
from zlh_agent.runtimes.model import InstallOrder
from zlh_common.runtime_choice import this_platform

LOOK_S = 0.005
TICK_S = 0.001


def make_order(run: Run, published: Published, url: str) -> InstallOrder:
    """Return the order to install the bench's runtime into a folder of its own."""
    folder = run.fresh_folder("install")
    return InstallOrder(
        artifacts_urls=(url,),
        trusted_root=str(trusted_root(published)),
        metadata_dir=str(folder / "metadata"),
        channels=("stable",),
        name=NAME,
        version=VERSION,
        platform=this_platform(),
        trees_dir=str(folder / "runtimes"),
        downloads_dir=str(folder / "downloads"),
        locks_dir=str(folder / "locks"),
    )


def render_pipe(published: Published, url: str, target: Path, *, is_synced: bool) -> str:
    """Return the peer's command line: download, hash and unpack at once, as an expert would write it."""
    sync = f" && sync -f {shlex.quote(str(target))}" if is_synced else ""
    return (
        f"set -o pipefail; curl -sS --fail {shlex.quote(f'{url}/{published.record.path}')} "
        f"| tee >(sha256sum > {shlex.quote(str(target))}.sum) | tar --zstd -x -C {shlex.quote(str(target))}{sync}"
    )


async def archive(run: Run) -> list[Row]:
    """The whole install, from the signed catalog to the synced tree, against the pipe with and without a sync."""
    published = await asyncio.to_thread(ensure_published, run)

    async with artifact_server(run, published) as url:

        async def ours() -> float:
            order = make_order(run, published, url)
            await settle_async()
            with Stopwatch() as watch:
                await run_install(order, on_progress=lambda _progress: None)
            return watch.seconds

        async def pipe(*, is_synced: bool) -> float:
            target = run.fresh_folder("pipe")
            command = ["bash", "-c", render_pipe(published, url, target, is_synced=is_synced)]
            await settle_async()
            with Stopwatch() as watch:
                await asyncio.to_thread(subprocess.run, command, check=True)
            return watch.seconds

        sides = {"ours": ours, "pipe": lambda: pipe(is_synced=False), "synced": lambda: pipe(is_synced=True)}
        samples = await run.side_by_side("install", sides)
    size = f"{published.record.size / MB:.0f} MB packed, {published.record.unpacked_size / MB:.0f} MB unpacked"
    return [
        samples.row("install.time", "s", peer="pipe", peer_name="curl | tee | tar", budget=ratio_at_most(2), note=size),
        samples.row("install.time.synced", "s", peer="synced", peer_name="the same, then sync -f"),
    ]


async def memory(run: Run) -> list[Row]:
    """What the install child holds at most, and for how long the agent's loop stands still meanwhile."""
    published = await asyncio.to_thread(ensure_published, run)
    samples = Samples()
    async with artifact_server(run, published) as url:
        for turn in range(1, run.repeat + 1):
            samples.add("peak", await asyncio.to_thread(_watch_child, make_order(run, published, url)))
            installing = run_install(make_order(run, published, url), on_progress=lambda _progress: None)
            before = read_rss(os.getpid())
            samples.add("lag", await _longest_stop(installing))
            samples.add("growth", max(0.0, read_rss(os.getpid()) - before))
            target = run.fresh_folder("pipe")
            command = ("bash", "-c", render_pipe(published, url, target, is_synced=True))
            samples.add("pipe-lag", await _longest_stop(_run_beside(command)))
            run.show(f"install.memory {turn}/{run.repeat}: {samples.figures}")
    return [
        samples.alone("install.child-peak", "MB", side="peak"),
        samples.alone("install.agent-growth", "MB", side="growth", budget=at_most(8), note="what starts the child"),
        samples.row(
            "install.loop-lag",
            "ms at most",
            side="lag",
            peer="pipe-lag",
            peer_name="beside the pipe",
            budget=at_most(5),
        ),
    ]


async def resume(run: Run) -> list[Row]:
    """A download that breaks off at nine tenths: how much of the archive is fetched again."""
    published = await asyncio.to_thread(ensure_published, run)
    path, size = published.record.path, published.record.size
    samples = Samples()
    for turn in range(1, run.repeat + 1):
        async with ArtifactOrigin(published.tree) as origin:
            origin.misbehave(path, Fault(cut_after=size * 9 // 10))
            await run_install(make_order(run, published, origin.url), on_progress=lambda _progress: None)
            _, again = origin.ranges(path)
        begins = int((again or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        samples.add("ours", 100 * (size * 9 // 10 - begins) / size)
        run.show(f"install.resume {turn}/{run.repeat}: {samples.figures}")
    note = f"{size / MB:.0f} MB; of what was sent before the cut, as far as it lay on the wire"
    return [samples.alone("install.resume.fetched-again", "% of the archive", budget=at_most(15), note=note)]


async def crowd(run: Run) -> list[Row]:
    """Ten children that are told the same at once: how often the archive is fetched."""
    published = await asyncio.to_thread(ensure_published, run)
    samples = Samples()
    for turn in range(1, run.repeat + 1):
        async with ArtifactOrigin(published.tree) as origin:
            order = make_order(run, published, origin.url)
            await asyncio.gather(*(run_install(order, on_progress=lambda _progress: None) for _ in range(10)))
            samples.add("ours", len(origin.ranges(published.record.path)))
        run.show(f"install.crowd {turn}/{run.repeat}: {samples.figures}")
    return [samples.alone("install.crowd.downloads", "of ten requests", budget=at_most(1))]


async def _longest_stop(work: Awaitable[object]) -> float:
    """Return the milliseconds that the loop was late at most while `work` was done."""
    lags = [0.0]
    ticking = asyncio.create_task(_tick(lags))
    try:
        await work
    finally:
        ticking.cancel()
    return max(lags)


async def _run_beside(command: Sequence[str]) -> None:
    child = await asyncio.create_subprocess_exec(*command)
    if await child.wait() != 0:
        raise RuntimeError(f"{command} failed")


async def _tick(lags: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK_S)
        lags.append((time.perf_counter() - began - TICK_S) * 1000)


def _watch_child(order: InstallOrder) -> float:
    """Run the child as the agent does; return the most memory that it was seen to have held."""
    child = subprocess.Popen(
        [sys.executable, "-m", "zlh_agent.runtimes.installing.install_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=our_environment(),
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(msgspec.json.encode(order))
    child.stdin.close()
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, read_peak_rss(child.pid))
        time.sleep(LOOK_S)
    last = child.stdout.read()
    child.stdout.close()
    if b'"installed"' not in last:
        raise RuntimeError(f"the install failed: {last[-500:]!r}")
    return peak


CASES = (
    Case("install.time", "a runtime archive, verified and unpacked", archive),
    Case("install.resume", "a download that is cut at nine tenths", resume),
    Case("install.crowd", "ten requests for one runtime at once", crowd),
    Case("install.memory", "memory of the install child, and the agent's loop meanwhile", memory),
)
