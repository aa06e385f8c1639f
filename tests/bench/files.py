"""Work on a customer's files through its child: what a child costs, what a call costs, and a large folder."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from bench.measure import Case, Row, Run, Samples, Stopwatch, at_most, read_pss, read_rss
from zlh_agent.files.link import FileLink, FilePlace
from zlh_agent.files.service import Files

LARGE_FOLDER, PAGE = 100_000, 1000
CALLS = 1000


def _place(folder: Path) -> FilePlace:
    # As the user of the bench: becoming another one takes no time that shows.
    return FilePlace(str(folder), None)


async def child(run: Run) -> list[Row]:
    """From nothing to the first answer of a confined child, against a bare interpreter; then its memory."""
    place = _place(run.fresh_folder("files"))
    memory = Samples()

    async def ours() -> float:
        with Stopwatch() as watch:
            link = await FileLink.start(place)
            await Files(link).stat("")
        memory.add("rss", read_rss(link.pid))
        memory.add("pss", read_pss(link.pid))
        await link.end()
        return watch.seconds * 1000

    async def bare() -> float:
        with Stopwatch() as watch:
            process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", "pass")
            await process.wait()
        return watch.seconds * 1000

    times = await run.side_by_side("files.child", {"ours": ours, "bare": bare})
    return [
        times.row("files.child", "ms", peer="bare", peer_name="python -I -S -c pass", budget=at_most(30)),
        memory.alone("files.child.rss", "MB", side="rss", budget=at_most(12)),
        memory.alone("files.child.pss", "MB", side="pss"),
    ]


async def call(run: Run) -> list[Row]:
    """One look at one file, there and back, against the same in this very process."""
    folder = run.fresh_folder("files")
    (folder / "file").touch()
    link = await FileLink.start(_place(folder))

    async def ours() -> float:
        with Stopwatch() as watch:
            for _ in range(CALLS):
                await Files(link).stat("file")
        return watch.seconds / CALLS * 1e6

    async def direct() -> float:
        with Stopwatch() as watch:
            for _ in range(CALLS):
                os.stat(folder / "file")  # noqa: PTH116 - the call itself
        return watch.seconds / CALLS * 1e6

    times = await run.side_by_side("files.call", {"ours": ours, "direct": direct})
    await link.end()
    return [times.row("files.call", "µs", peer="direct", peer_name="os.stat here")]


async def page(run: Run) -> list[Row]:
    """The first page of a folder of 100,000 files, against reading and sorting all of its names here."""
    folder = run.fresh_folder("files")
    for number in range(run.choose(LARGE_FOLDER, LARGE_FOLDER // 10)):
        os.mknod(folder / f"file-{number}")
    link = await FileLink.start(_place(folder))

    async def ours() -> float:
        with Stopwatch() as watch:
            found = await Files(link).list_folder("", limit=PAGE)
        assert len(found.entries) > PAGE / 2
        return watch.seconds * 1000

    async def names() -> float:
        with Stopwatch() as watch:
            sorted(os.listdir(folder))  # noqa: PTH208 - the call itself
        return watch.seconds * 1000

    times = await run.side_by_side("files.page", {"ours": ours, "names": names})
    peak = read_rss(link.pid)
    await link.end()
    note = f"the child holds {peak:.1f} MB after it"
    return [times.row("files.page", "ms", peer="names", peer_name="sorted(os.listdir)", budget=at_most(100), note=note)]


CASES = (
    Case("files.child", "a file child is started", child),
    Case("files.call", "one call through a file child", call),
    Case("files.page", "a page of a large folder", page),
)
