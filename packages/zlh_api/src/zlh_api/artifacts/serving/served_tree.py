"""The tree as the API serves it itself, where its configuration names one; the artifact server does the same alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from zlh_api.artifacts.errors import FileUnknown
from zlh_api.artifacts.serving.tree_files import answer_file
from zlh_api.artifacts.signing.renewal import Renewal
from zlh_common.clock import Clock


class ServedTree:
    """Answers for the files of one tree, and keeps its signatures fresh where the keys for that are given."""

    def __init__(self, folder: Path | None, keys: Path | None, clock: Clock) -> None:
        self._folder = folder
        self._renewal = Renewal(folder, keys, clock=clock) if folder is not None and keys is not None else None

    @property
    def trouble(self) -> str | None:
        """Why the signatures are not renewed, or None."""
        return self._renewal.trouble if self._renewal is not None else None

    async def start(self) -> None:
        """Renew the signatures before the first answer; what fails is told by `trouble` and stops nobody."""
        if self._renewal is not None:
            await self._renewal.try_renew()

    async def run(self) -> None:
        """Renew them every day, for ever."""
        if self._renewal is not None:
            await self._renewal.run()
        await asyncio.Event().wait()

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        """Answer a GET or HEAD; raise FileUnknown for whatever is not served."""
        if self._folder is None:
            raise FileUnknown
        return await answer_file(request, self._folder, path)
