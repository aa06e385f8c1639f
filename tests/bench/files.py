"""Work on a customer's files through its child: what a child costs, what a call costs, and a large folder."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from bench.measure import Case, Row, Run, Samples, Stopwatch, at_most, read_pss, read_rss
from zlh_agent.files.link import FileLink, FilePlace
from zlh_agent.files.model import HASHING
from zlh_agent.files.page_rules import NAME, SORTS
from zlh_agent.files.service import Files

LARGE_FOLDER, PAGE = 100_000, 1000
CALLS = 1000
Side = Callable[[], Awaitable[float]]


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
    """The first page of a folder of 100,000 files in each order, against reading and sorting all of its names here."""
    folder = run.fresh_folder("files")
    for number in range(run.choose(LARGE_FOLDER, LARGE_FOLDER // 10)):
        os.mknod(folder / f"file-{number}")
    link = await FileLink.start(_place(folder))

    async def ours(sort: str) -> float:
        with Stopwatch() as watch:
            found = await Files(link).list_folder("", limit=PAGE, sort=sort)
        assert len(found.entries) > PAGE / 2
        return watch.seconds * 1000

    async def names() -> float:
        with Stopwatch() as watch:
            sorted(os.listdir(folder))  # noqa: PTH208 - the call itself
        return watch.seconds * 1000

    sides = {sort: partial(ours, sort) for sort in SORTS}
    times = await run.side_by_side("files.page", {**sides, "names": names})
    peak = read_rss(link.pid)
    await link.end()
    note = f"the child holds {peak:.1f} MB after it"
    row = partial(times.row, unit="ms", peer="names", peer_name="sorted(os.listdir)")
    return [
        row("files.page", side=NAME, budget=at_most(100), note=note),
        *(row(f"files.page.{sort}", side=sort) for sort in SORTS if sort != NAME),
    ]


def _make_tree(folder: Path, *, folders: int) -> None:
    for number in range(folders):
        (folder / f"{number}").mkdir(parents=True)
        for name in range(50):
            (folder / f"{number}/{name}").write_bytes(b"line of a file\n" * 200)


async def _time(*argv: str | Path) -> float:
    with Stopwatch() as watch:
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL)
        await process.wait()
    return watch.seconds * 1000


async def trees(run: Run) -> list[Row]:
    """A tree copied, measured, searched and removed, and a file hashed, each against what a shell has for it."""
    folder = run.fresh_folder("files")
    _make_tree(folder / "tree", folders=run.choose(200, 10))
    (folder / "large").write_bytes(os.urandom(run.choose(256, 8) * 2**20))
    link = await FileLink.start(_place(folder), loads=HASHING)
    files = Files(link)

    async def timed(work: Awaitable[object]) -> float:
        with Stopwatch() as watch:
            await work
        return watch.seconds * 1000

    async def copy() -> float:
        await files.remove_tree("ours")
        return await timed(files.copy_tree("tree", "ours", staging=".ours"))

    async def copy_there() -> float:
        await files.remove_tree("theirs")
        return await _time("cp", "-a", folder / "tree", folder / "theirs")

    async def remove() -> float:
        await _time("cp", "-a", folder / "tree", folder / "gone")
        return await timed(files.remove_tree("gone"))

    async def remove_there() -> float:
        await _time("cp", "-a", folder / "tree", folder / "gone")
        return await _time("rm", "-rf", folder / "gone")

    sides: dict[str, tuple[Side, Side, str]] = {
        "copy": (copy, copy_there, "cp -a"),
        "remove": (remove, remove_there, "rm -rf"),
        "measure": (
            lambda: timed(files.measure("tree")),
            lambda: _time("du", "-s", folder / "tree"),
            "du -s",
        ),
        "search": (
            lambda: timed(files.search("tree", text="nowhere")),
            lambda: _time("grep", "-rni", "nowhere", folder / "tree"),
            "grep -rni",
        ),
        "checksum": (
            lambda: timed(files.checksum("large")),
            lambda: _time("sha256sum", folder / "large"),
            "sha256sum",
        ),
    }
    rows: list[Row] = []
    for name, (ours, theirs, peer_name) in sides.items():
        times = await run.side_by_side(f"files.{name}", {"ours": ours, "peer": theirs})
        rows.append(times.row(f"files.{name}", "ms", peer="peer", peer_name=peer_name))
    await link.end()
    return rows


CASES = (
    Case("files.child", "a file child is started", child),
    Case("files.call", "one call through a file child", call),
    Case("files.page", "a page of a large folder", page),
    Case("files.trees", "whole trees through a file child", trees),
)
