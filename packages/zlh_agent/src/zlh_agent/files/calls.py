"""Each call on the files below one root, as the rest of the agent makes it; what a child answers is not believed."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from zlh_agent.files.cursor_rules import parse_cursor, render_cursor
from zlh_agent.files.files_wire import decode_name, encode_name
from zlh_agent.files.finds import Finds
from zlh_agent.files.link import SYNC_SILENCE_S, FileLink
from zlh_agent.files.model import ALL_OR_NOTHING, HASHING, KEEP, Amount, Answer, Entry, Request
from zlh_agent.files.page_rules import NAME, Order, Place, is_after, place_of, render_asked
from zlh_agent.files.rules import MAX_PAGE_ENTRIES, MAX_PATH_BYTES
from zlh_agent.files.told import Outcome, Page, Room, SearchOutcome, Skipped
from zlh_common.schema.file_refusals import FilePageUnknown, FileRefused, FilesUnavailable
from zlh_common.schema.files import MAX_FOUND

OnProgress = Callable[[Amount], None] | None
_HEXADECIMAL = frozenset("0123456789abcdef")


class Files:
    """The files below one root, by way of one child that somebody has borrowed. Paths are relative to the root.

    Every call raises FileRefused where the answer is no, FilesUnavailable where there is none.
    """

    def __init__(self, link: FileLink) -> None:
        self._link = link

    @property
    def link(self) -> FileLink:
        """The child that does the work at this moment."""
        return self._link

    @property
    def landlock_abi(self) -> int:
        """The ABI of Landlock that holds the child, 0 for none."""
        return self._link.landlock_abi

    async def stat(self, path: str, *, follow: bool = False) -> Entry:
        """Return what is at the path; a link is not followed unless it is asked for."""
        return await self._entry(Request("stat", encode_path(path), flag=follow))

    async def list_folder(
        self,
        path: str,
        *,
        after: str = "",
        limit: int = MAX_PAGE_ENTRIES,
        sort: str = NAME,
        descending: bool = False,
        folders_first: bool = False,
        hidden: bool = True,
    ) -> Page:
        """Return a page of a folder, by one of SORTS; `after` is the `next` of the one before.

        The same names break a tie in every order, by their code points. Raises FilePageUnknown where `after` is of
        another order, or of nobody's making.
        """
        order = Order(sort, descending=descending, folders_first=folders_first, hidden=hidden)
        place = parse_cursor(order, after) if after else None
        if after and place is None:
            raise FilePageUnknown(path=path)
        limit = max(1, min(limit, MAX_PAGE_ENTRIES))
        request = Request("list", encode_path(path), number=limit, more=render_asked(order, place))
        answer = await self._link.call(request)
        self._check_page(order, place, limit, answer)
        if not answer.has_more:
            return Page(answer.entries, None)
        return Page(answer.entries, render_cursor(order, place_of(order, answer.entries[-1])))

    def _check_page(self, order: Order, after: Place | None, limit: int, answer: Answer) -> None:
        places = [place_of(order, entry) for entry in answer.entries]
        in_order = itertools.pairwise(places if after is None else [after, *places])
        if len(places) > limit or not all(is_after(order, later, earlier) for earlier, later in in_order):
            raise self._link.distrust("lists a folder out of order")
        if answer.has_more and not places:
            raise self._link.distrust("lists a folder without an end")
        if not order.hidden and any(place.name.startswith(".") for place in places):
            raise self._link.distrust("lists what is hidden")

    async def room(self) -> Room:
        """Return what the disk of the root holds and has left."""
        answer = await self._link.call(Request("room", b""))
        if len(answer.words) != 4 or not all(word.isdigit() and len(word) < 20 for word in answer.words if word):
            raise self._link.distrust("tells no room of a disk")
        total, free, files, free_files = (int(word) if word else None for word in answer.words)
        return Room(total or 0, free or 0, files if free_files is not None else None, free_files)

    async def open_to_read(self, path: str) -> tuple[int, Entry]:
        """Return a descriptor of a regular file, which the caller closes, and what it was when it was opened."""
        fd, answer = await self._link.open(Request("read", encode_path(path)), access=os.O_RDONLY)
        if len(answer.entries) != 1:
            os.close(fd)
            raise self._link.distrust("opened a file without a word about it")
        return fd, answer.entries[0]

    async def open_to_append(self, path: str, *, offset: int) -> int:
        """Return a descriptor of a file that is cut to `offset` and stands there; the caller closes it.

        It is made where the offset is 0; one that is shorter has changed.
        """
        fd, _ = await self._link.open(Request("append", encode_path(path), number=offset), access=os.O_WRONLY)
        return fd

    @asynccontextmanager
    async def writing(self, path: str, *, replace: bool, expected: str | None = None) -> AsyncIterator[int]:
        """Lend a descriptor to write a whole file to; it stands at the path once the block ends well.

        Nobody sees it before, and a block that fails leaves what was there. With `expected`, only this version is
        replaced. No other call may be made in the block.
        """
        other = (expected or "").encode("ascii", "replace")
        fd, _ = await self._link.open(
            Request("begin", encode_path(path), other=other, flag=replace), access=os.O_WRONLY
        )
        try:
            try:
                yield fd
            finally:
                os.close(fd)
        except BaseException:
            with contextlib.suppress(FilesUnavailable):
                await self._link.call(Request("abandon", b""))
            raise
        await self._link.call(Request("finish", encode_path(path)), silence_s=SYNC_SILENCE_S)

    async def make_partial(self, path: str, *, parents: bool = False) -> None:
        """Make an empty file that its owner alone may read, where nothing is; with `parents` the folders above it."""
        await self._link.call(Request("make-partial", encode_path(path), flag=parents))

    async def put_in_place(
        self,
        partial: str,
        target: str,
        *,
        size: int,
        replace: bool,
        expected: str | None = None,
        mode: int | None = None,
        modified_ns: int | None = None,
    ) -> tuple[Entry, bool]:
        """Give a partial file its name, once the disk has it; return what it is, and whether it has replaced something.

        A link at the target stays, and what it leads to is replaced. With `expected` only that version is replaced,
        without `replace` nothing is. `mode` is for a file that is new: what is replaced leaves its rights.
        """
        words = (expected, mode, modified_ns)
        more = ["" if word is None else str(word) for word in words]
        request = Request(
            "place",
            encode_path(partial),
            other=encode_path(target),
            number=size,
            flag=replace,
            more=[word.encode("ascii", "replace") for word in more],
        )
        answer = await self._link.call(request, silence_s=SYNC_SILENCE_S)
        if not 1 <= len(answer.entries) <= 2:
            raise self._link.distrust("answers something else than was asked")
        return answer.entries[0], len(answer.entries) == 2

    async def remove_if_there(self, path: str) -> None:
        """Remove a file or a link; what is not there is as good."""
        await self._link.call(Request("remove-if-there", encode_path(path)))

    async def copy(self, source: str, target: str, *, replace: bool = False) -> None:
        """Copy one regular file."""
        request = Request("copy", encode_path(source), other=encode_path(target), flag=replace)
        await self._link.call(request, silence_s=SYNC_SILENCE_S)

    async def copy_tree(
        self,
        source: str,
        target: str,
        *,
        staging: str,
        overwrite: str = ALL_OR_NOTHING,
        on_progress: OnProgress = None,
    ) -> Outcome:
        """Copy a file, a link as the text that it is, or a folder with all that is in it.

        A folder that is new is made at `staging`, a hidden free path beside the target, and renamed at the end: what a
        call leaves there that did not end is removed by `remove_tree`. One that is there is merged; `overwrite` says
        what becomes of files that are: `refuse` does nothing if there is one, `skip`, or `replace`.
        """
        request = Request(
            "copy-tree", encode_path(source), other=encode_path(target), more=[overwrite.encode(), encode_path(staging)]
        )
        answer = await self._link.call(request, silence_s=SYNC_SILENCE_S, on_progress=on_progress)
        return _outcome(answer)

    async def measure(self, path: str, *, on_progress: OnProgress = None) -> Outcome:
        """Count what is below a folder: names, bytes (of a file with several names once), and bytes of the disk."""
        return _outcome(await self._link.call(Request("measure", encode_path(path)), on_progress=on_progress))

    async def checksum(self, path: str, *, on_progress: OnProgress = None) -> str:
        """Return the SHA-256 of a file, in hexadecimal; the child is exchanged for one that can tell it."""
        request = Request("checksum", encode_path(path))
        if self._link.loads != HASHING:
            place = self._link.place
            await self._link.end()
            self._link = await FileLink.start(place, loads=HASHING)
        answer = await self._link.call(request, on_progress=on_progress)
        digest = answer.words[0].decode("ascii", "replace") if answer.words else ""
        if len(digest) != 64 or not set(digest) <= _HEXADECIMAL:
            raise self._link.distrust("tells a hash that is none")
        return digest

    async def search(
        self,
        path: str,
        *,
        name: str = "",
        text: str = "",
        match_case: bool = False,
        limit: int = 100,
        on_progress: OnProgress = None,
    ) -> SearchOutcome:
        """Look below a folder for names (a part of one, or with `*` and `?`), for a text in files, or for both.

        At most 10 s, the first 64 MiB of each file, and `limit` lines, or files where no text is sought.
        """
        limit = max(1, min(limit, MAX_FOUND))
        request = Request(
            "search", encode_path(path), number=limit, flag=match_case, more=[encode_path(name), encode_path(text)]
        )
        finds = Finds(limit)
        answer = await self._link.call(request, on_progress=on_progress, on_found=finds.add)
        looked_at = answer.amount.files + answer.amount.folders
        stopped_by = answer.words[0].decode("ascii", "replace") if answer.words else None
        if stopped_by not in {None, "limit", "time"}:
            raise self._link.distrust("stops a search for no reason")
        return SearchOutcome(tuple(finds.found), looked_at, stopped_by, answer.skipped_count)

    async def make_folder(self, path: str, *, parents: bool = False) -> None:
        """Make a folder; with `parents` those above it too, and one that is there is as good."""
        await self._link.call(Request("make-folder", encode_path(path), flag=parents))

    async def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link, which may lead to a relative place inside."""
        await self._link.call(Request("make-link", encode_path(path), other=encode_path(target)))

    async def move(self, source: str, target: str, *, how: int = KEEP) -> None:
        """Rename or move; `how` says what becomes of what stands at the target: KEEP, REPLACE or EXCHANGE."""
        await self._link.call(Request("move", encode_path(source), other=encode_path(target), number=how))

    async def remove(self, path: str) -> None:
        """Remove a file, a link or an empty folder."""
        await self._link.call(Request("remove", encode_path(path)))

    async def remove_tree(self, path: str, *, on_progress: OnProgress = None) -> Outcome:
        """Remove something with all that is in it; what is not there is as good."""
        return _outcome(await self._link.call(Request("remove-tree", encode_path(path)), on_progress=on_progress))

    async def change_mode(self, path: str, mode: int) -> None:
        """Set the rights of a file or folder."""
        await self._link.call(Request("change-mode", encode_path(path), number=mode))

    async def set_times(self, path: str, *, modified_ns: int) -> None:
        """Set when something was last modified."""
        await self._link.call(Request("set-times", encode_path(path), number=modified_ns))

    async def _entry(self, request: Request) -> Entry:
        answer = await self._link.call(request)
        if len(answer.entries) != 1:
            raise self._link.distrust("answers something else than was asked")
        return answer.entries[0]


def _outcome(answer: Answer) -> Outcome:
    skipped = tuple(Skipped(decode_name(path), code) for path, code in answer.skipped)
    return Outcome(answer.amount, skipped, answer.skipped_count)


def encode_path(path: str) -> bytes:
    """Return a path as the child takes it; raise FileRefused where it is none."""
    try:
        raw = encode_name(path)
    except ValueError as exc:
        raise FileRefused("path_invalid", path=path) from exc
    if len(raw) > MAX_PATH_BYTES:
        raise FileRefused("name_too_long", path=path)
    return raw
