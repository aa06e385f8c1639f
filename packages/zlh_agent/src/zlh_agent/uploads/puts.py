"""A file in one request: it comes beside its target and takes its place once it is whole; a cut body leaves nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from zlh_agent.files.blocks import Blocks
from zlh_agent.files.model import Entry
from zlh_agent.files.roots import Roots
from zlh_agent.uploads.apart import Apart
from zlh_agent.uploads.bodies import OpenBody
from zlh_agent.uploads.model import Asked, UploadRecord
from zlh_agent.uploads.partials import Partials, look_again
from zlh_agent.uploads.receiving import Sink, receive
from zlh_agent.uploads.rules import begin_record
from zlh_agent.uploads.service import SILENCE_S
from zlh_common.clock import Clock
from zlh_common.file_names import name_to_text
from zlh_common.schema.file_refusals import FileHashWrong, FileRefused, FileTooShort


class PutService:
    """Takes whole files."""

    def __init__(
        self, roots: Roots, partials: Partials, clock: Clock, blocks: Blocks, *, silence_s: float = SILENCE_S
    ) -> None:
        self._roots = roots
        self._blocks = blocks
        self._partials = partials
        self._clock = clock
        self._silence_s = silence_s
        self._apart = Apart()

    async def check(self, asked: Asked) -> None:
        """Refuse before a byte is taken what would be refused at the end."""
        root = self._roots.choose(asked.root).name
        with _telling_condition(asked):
            async with self._partials.borrow(root) as files:
                await look_again(files, asked.path, replace=asked.replace, expected=asked.expected)

    async def put(self, asked: Asked, open_body: OpenBody) -> tuple[Entry, bool]:
        """Take a body; return what is at the path then, and whether something was there before."""
        with _telling_condition(asked):
            return await self._apart.run(self._put(asked, open_body))

    async def close(self) -> None:
        """Wait for what is under way: it ends with its connection."""
        await self._apart.close()

    async def _put(self, asked: Asked, open_body: OpenBody) -> tuple[Entry, bool]:
        root = self._roots.choose(asked.root).name
        record = begin_record(asked, root, uuid.uuid4().hex, self._clock.now(), is_put=True)
        file = await self._partials.begin(record, parents=asked.parents)
        try:
            sink = Sink(0, limit=asked.size, algorithm="sha256" if asked.sha256 else None)
            try:
                body = open_body(self._blocks, self._silence_s)
                await receive(body, file, sink, self._blocks, path=record.path)
            finally:
                file.close()
            _require_whole(record, sink)
            placed = await self._partials.put_in_place(record, sink.offset)
            await self._partials.forget(record)
        except BaseException:
            # Where it cannot be removed now, the sweep does it, or the next start.
            await self._partials.discard(record)
            raise
        return placed


@contextmanager
def _telling_condition(asked: Asked) -> Iterator[None]:
    """Raise what is in the place of a file that must be new as the condition that does not hold (RFC 9110, 13.1.2)."""
    try:
        yield
    except FileRefused as refused:
        if asked.replace or refused.code != "file_exists":
            raise
        raise FileRefused("file_already_there", path=name_to_text(asked.path)) from refused


def _require_whole(record: UploadRecord, sink: Sink) -> None:
    if record.size is not None and sink.offset != record.size:
        raise FileTooShort(path=record.path, wanted=record.size, found=sink.offset)
    if record.sha256 is not None and sink.digest().hex() != record.sha256:
        raise FileHashWrong(path=record.path, wanted=record.sha256, found=sink.digest().hex())
