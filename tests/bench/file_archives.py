"""Archives of a customer's files made and unpacked by a confined child, against the programs that people use."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from bench.archives import settle_async
from bench.measure import Case, Row, Run, Stopwatch
from zlh_agent.archives.service import Archives
from zlh_agent.files.link import FilePlace
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_common.schema.files import ArchiveFormat, Overwrite
from zlh_common.trees import delete_tree

FILES, QUICK_FILES, FILE_BYTES = 4000, 200, 30_000
_PACK = {"tar.gz": "tar -cf - tree | gzip -1 > theirs", "tar.zst": "tar -cf - tree | zstd -q3 > theirs",
         "zip": "rm -f theirs.zip; zip -qr1 theirs tree; mv theirs.zip theirs"}  # fmt: skip
_UNPACK = {
    "tar.gz": "tar -xzf theirs -C out",
    "tar.zst": "tar --zstd -xf theirs -C out",
    "zip": "unzip -q theirs -d out",
}


def _make_tree(folder: Path, files: int) -> None:
    chance = random.Random(1)
    text = b"".join(b"const value%d = require('./module%d');\n" % (n, n % 97) for n in range(5000))
    for number in range(files):
        path = folder / f"tree/{number % 97}/{number}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = chance.randrange(len(text) // 2)
        path.write_bytes(chance.randbytes(FILE_BYTES // 4) + text[start : start + FILE_BYTES * 3 // 4])


async def _run(command: str, folder: Path) -> float:
    with Stopwatch() as watch:
        process = await asyncio.create_subprocess_exec("sh", "-c", command, cwd=folder)
        assert await process.wait() == 0
    return watch.seconds * 1000


async def both_ways(run: Run) -> list[Row]:
    """Pack a tree as people's programs have it, and unpack it again, with what it costs to start the child."""
    folder = run.fresh_folder("file-archives")
    await asyncio.to_thread(_make_tree, folder, run.choose(FILES, QUICK_FILES))
    root = OfferedRoot("root", "/root", FilePlace(str(folder), None))
    archives = Archives(Roots([root]))
    rows = []
    for form in ArchiveFormat:

        async def pack(form: ArchiveFormat = form) -> float:
            with Stopwatch() as watch:
                await archives.pack(root, ["tree"], "ours", form, partial=".ours.zlh-part", replace=True)
            return watch.seconds * 1000

        async def unpack() -> float:
            await asyncio.to_thread(delete_tree, folder / "new")
            await settle_async()
            with Stopwatch() as watch:
                await archives.unpack(root, "ours", "new", staging=".new.zlh-part", overwrite=Overwrite.REFUSE)
            return watch.seconds * 1000

        async def their_unpack(form: ArchiveFormat = form) -> float:
            await asyncio.to_thread(delete_tree, folder / "out")
            (folder / "out").mkdir()
            await settle_async()
            return await _run(f"{_UNPACK[form.value]} && sync -f out", folder)

        async def their_pack(form: ArchiveFormat = form) -> float:
            return await _run(f"{_PACK[form.value]} && sync theirs", folder)

        packed = await run.side_by_side(f"files.pack.{form.value}", {"ours": pack, "peer": their_pack})
        peer = _PACK[form.value].replace("tree", "…")
        rows.append(
            packed.row(f"files.pack.{form.value}", "ms", peer="peer", peer_name=peer.rpartition(";")[2] or peer)
        )
        unpacked = await run.side_by_side(f"files.unpack.{form.value}", {"ours": unpack, "peer": their_unpack})
        rows.append(unpacked.row(f"files.unpack.{form.value}", "ms", peer="peer", peer_name=_UNPACK[form.value]))
    return rows


CASES = (Case("files.archives", "archives of files made and unpacked", both_ways),)
