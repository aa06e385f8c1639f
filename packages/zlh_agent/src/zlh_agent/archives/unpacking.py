"""Unpacks an archive of a customer: all of it into a hidden folder, then that to its place."""

from __future__ import annotations

import os

from zlh_agent.archives.placing import put_in_place
from zlh_agent.archives.staging import Staging
from zlh_agent.archives.streams import Stream, find_kind, open_blocks
from zlh_agent.archives.tar_reading import read_tar
from zlh_agent.archives.zip_reading import ZipReader
from zlh_agent.files.opening import FOLDER_ITSELF, INSIDE, Held, open_below
from zlh_agent.sandbox.syscalls import sync_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from zlh_agent.archives.model import Item
    from zlh_agent.archives.telling import Tally


def unpack(source: int, folder: int, hidden: bytes, name: bytes, tally: Tally, *, overwrite: str) -> None:
    """Unpack an open archive by way of `hidden`, which is made, to `name`; both are in an open folder.

    `overwrite` is one of OVERWRITES of `files/model.py`.

    Raises Refused or OSError; what is in `hidden` is for the caller to remove then.
    """
    os.mkdir(hidden, 0o755, dir_fd=folder)
    with Held(open_below(folder, [hidden], FOLDER_ITSELF, resolve=INSIDE)) as base:
        unpack_into(source, base, tally)
    put_in_place(folder, hidden, name, tally, overwrite=overwrite)


def unpack_into(source: int, base: int, tally: Tally) -> None:
    """Unpack an open archive into an open folder that is empty, synced; raise Refused or OSError."""
    tree = Staging(base, tally)
    try:
        for item, content in _entries(source, tree, tally):
            tree.add(item, content)
        tree.finish()
    finally:
        tree.close()
    # Once for all of it: a disk that writes late has room for it then, and a cut of power leaves no half file.
    with Held(open_below(base, [], os.O_RDONLY | os.O_DIRECTORY)) as synced:
        sync_disk(synced)


def watched(blocks: Iterator[bytes], tally: Tally) -> Iterator[bytes]:
    """Yield blocks and tell that it goes on: what belongs to no file may be more than all files. Raises Refused."""
    for block in blocks:
        tally.note()
        tally.require_time()
        yield block


def _entries(source: int, tree: Staging, tally: Tally) -> Iterator[tuple[Item, Iterator[memoryview]]]:
    kind = find_kind(source)
    if kind != "zip":
        return read_tar(Stream(watched(open_blocks(source, kind), tally)))
    reader = ZipReader(source)
    tree.require_room(reader.check())
    return reader.read()
