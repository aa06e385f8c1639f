"""Unpacks a verified archive: zstandard feeds a `tar` child, and never more than the catalog announces.

Runs in the install child. The archive is signed and ours, and is not trusted further than needed all the same: owners,
set-uid bits and absolute names are dropped by tar, the number of bytes is bounded, and a tree with links that lead out
of it or with devices in it is refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from zlh_agent.runtimes.comparison import render_file
from zlh_agent.runtimes.errors import DiskFull, UnpackFailed
from zlh_agent.sandbox.lifeline import tied_to_us

BLOCK_BYTES = 1024 * 1024
# Our publisher caps the window at this; a frame that wants more is not ours, and would take the memory it asks for.
MAX_WINDOW_BYTES = 8 * 1024 * 1024
# Tar adds a header and padding per file to what the files themselves hold.
TAR_OVERHEAD_FACTOR, TAR_OVERHEAD_BYTES = 1.25, 64 * 1024 * 1024
TAR_TIMEOUT_S = 60
COMPLAINT_BYTES = 2000


def unpack(archive: Path, target: Path, *, unpacked_size: int, show: Callable[[int, int], None]) -> None:
    """Unpack `archive` into the existing folder `target`; raise UnpackFailed, DiskFull."""
    limit = int(unpacked_size * TAR_OVERHEAD_FACTOR) + TAR_OVERHEAD_BYTES
    argv = ["tar", "--extract", "--no-same-owner", "--no-same-permissions", "--directory", str(target), "--file", "-"]
    with (
        archive.open("rb") as source,
        # A file, not a pipe: a tar that complains of every entry must never wait for us to read.
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            preexec_fn=tied_to_us(),  # noqa: PLW1509 - the install child has no threads
        ) as tar,
    ):
        assert tar.stdin is not None
        try:
            for fed, block in _bounded(_decompressed(source.fileno()), limit):
                tar.stdin.write(block)
                show(min(fed, unpacked_size), unpacked_size)
            tar.stdin.close()
        except zstandard.ZstdError as exc:
            tar.kill()
            raise UnpackFailed(reason=f"it is no whole zstd file ({exc})") from exc
        except BrokenPipeError:
            # Tar has ended early; its own words say why.
            pass
        except BaseException:
            tar.kill()
            raise
        try:
            code = tar.wait(TAR_TIMEOUT_S)
        except subprocess.TimeoutExpired as exc:
            tar.kill()
            raise UnpackFailed(reason=f"tar did not end within {TAR_TIMEOUT_S} s") from exc
        said.seek(max(0, said.seek(0, os.SEEK_END) - COMPLAINT_BYTES))
        complaints = said.read().decode("utf-8", "replace")
    if code != 0:
        if "No space left" in complaints:
            free = os.statvfs(target)
            raise DiskFull(needed_bytes=unpacked_size, free_bytes=free.f_bavail * free.f_frsize)
        raise UnpackFailed(reason=f"tar ended with {code}", output=complaints)
    _refuse_what_leads_out(target)


def _refuse_what_leads_out(root: Path) -> None:
    """Raise UnpackFailed for links out of the tree, and for what is neither file, folder nor link."""
    inside = os.path.realpath(root)
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
                raise UnpackFailed(reason=f"{path.relative_to(root)} is neither a file nor a folder nor a link")
            if not stat.S_ISLNK(mode):
                continue
            leads_to = os.path.realpath(path)
            if path.readlink().is_absolute() or os.path.commonpath([inside, leads_to]) != inside:
                raise UnpackFailed(reason=f"the link {path.relative_to(root)} leads out of the tree")


def _bounded(blocks: Iterator[bytes], limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield (bytes so far, block); raise UnpackFailed beyond `limit`."""
    fed = 0
    for block in blocks:
        fed += len(block)
        if fed > limit:
            raise UnpackFailed(reason=f"it unpacks to more than the {limit} bytes that it may have")
        yield fed, block


def _decompressed(descriptor: int) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with open(descriptor, "rb", closefd=False) as source:
        yield from decompressor.read_to_iter(source, read_size=BLOCK_BYTES, write_size=BLOCK_BYTES)


def list_files(root: Path) -> tuple[dict[str, str], int]:
    """Return ({relative path: SHA-256 and mode, or `-> target` for a link}, bytes of all files) of a tree."""
    listed: dict[str, str] = {}
    size = 0
    for folder, _folders, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                listed[relative] = f"-> {path.readlink()}"
                continue
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                listed[relative] = render_file(hashlib.file_digest(file, "sha256").hexdigest(), found.st_mode)
                size += found.st_size
        for name in _folders:
            path = Path(folder, name)
            if path.is_symlink():
                listed[str(path.relative_to(root))] = f"-> {path.readlink()}"
    return dict(sorted(listed.items())), size
