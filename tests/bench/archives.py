"""A runtime that exists for the bench alone: some thousand files, packed and signed once, and served by our server."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import msgspec
import zstandard

from bench.measure import Run
from bench.programs import running, wait_port
from guards.ports import free_port
from zlh_api.artifacts.model import BuildRecord
from zlh_api.artifacts.signing.keys import TRUSTED_ROOT
from zlh_api.artifacts.signing.publish import initialise, publish_catalog
from zlh_common.runtime_choice import this_platform

NAME, VERSION = "bench", "1.0.0"
# Of a Node tree: files, and their mean size. Half of each file is noise, so that it packs as programs do.
FILES, FILE_BYTES = 4700, 40_000
QUICK_FILES = 200


@dataclass(frozen=True)
class Published:
    """A signed tree with one archive in it."""

    tree: Path
    keys: Path
    record: BuildRecord

    @property
    def archive(self) -> Path:
        """The archive on disk."""
        return self.tree / self.record.path


def ensure_published(run: Run) -> Published:
    """Return the tree, made on the first run and found again by the next."""
    files = run.choose(FILES, QUICK_FILES)
    folder = run.cache / f"signed-tree-{files}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run.show(f"packing {files} files once, below {folder}")
        _write_archive(folder, files)
        (folder / "ready").touch()
    (path,) = (folder / "tree/archives" / NAME).glob("*.json")
    record = msgspec.json.decode(path.read_bytes(), type=BuildRecord)
    # The signatures of an earlier run may have expired.
    publish_catalog(folder / "tree", folder / "keys", now=datetime.now(UTC))
    return Published(folder / "tree", folder / "keys", record)


def _write_archive(folder: Path, files: int) -> None:
    tree, keys = folder / "tree", folder / "keys"
    initialise(tree, keys, now=datetime.now(UTC))
    path = f"archives/{NAME}/{NAME}-{VERSION}-{this_platform()}.tar.zst"
    (tree / path).parent.mkdir(parents=True)
    unpacked = _pack(tree / path, files)
    with (tree / path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    record = BuildRecord(
        kind="runtime",
        edition=None,
        name=NAME,
        title="Bench",
        version=VERSION,
        revision=1,
        default=True,
        channel="stable",
        upstream="https://example.org",
        licence="MIT",
        bin=("bin",),
        environment={},
        smoke_test=(),
        smoke_expect="",
        platform=this_platform(),
        path=path,
        size=(tree / path).stat().st_size,
        unpacked_size=unpacked,
        entries=2 * files,
        sha256=sha256,
        source="none",
        source_sha256="0" * 64,
        recipe_sha256="0" * 64,
    )
    (tree / path.replace(".tar.zst", ".json")).write_bytes(msgspec.json.encode(record))


def _pack(path: Path, files: int) -> int:
    """Write the archive; return how many bytes it unpacks to."""
    chance = random.Random(1)
    text = b"".join(b"const value%d = require('./module%d');\n" % (n, n % 97) for n in range(20_000))
    total = 0
    compressor = zstandard.ZstdCompressor(level=3)
    with (
        path.open("wb") as raw,
        compressor.stream_writer(raw) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for number in range(files):
            size = int(chance.expovariate(1 / FILE_BYTES)) + 100
            start = chance.randrange(len(text) // 2)
            content = (chance.randbytes(size // 2) + text[start : start + size])[:size]
            info = tarfile.TarInfo(f"lib/module{number % 97}/file{number}.js")
            info.size, info.mode = size, 0o644
            archive.addfile(info, BytesIO(content))
            total += size
    return total


@asynccontextmanager
async def artifact_server(run: Run, published: Published) -> AsyncIterator[str]:
    """Run our server on the tree; yields its URL."""
    port, log = free_port(), run.fresh_folder("artifacts") / "log"
    place = ("--dir", str(published.tree), "--keys", str(published.keys), "--port", str(port))
    async with running([sys.executable, "-m", "zlh_api", "artifacts", "serve", *place], log=log) as child:
        await wait_port(port, child, log)
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def python_server(run: Run, folder: Path) -> AsyncIterator[str]:
    """Run `python -m http.server` on the same tree."""
    port, log = free_port(), run.fresh_folder("http-server") / "log"
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    async with running(argv, log=log) as child:
        await wait_port(port, child, log)
        yield f"http://127.0.0.1:{port}"


def trusted_root(published: Published) -> Path:
    """Return the root that clients start from."""
    return published.keys / TRUSTED_ROOT


def settle() -> None:
    """Bring to the disk what an earlier side has left, so that the next one does not pay for it."""
    subprocess.run(["sync"], check=True)


async def settle_async() -> None:
    """As `settle`, beside the event loop."""
    await asyncio.to_thread(settle)
