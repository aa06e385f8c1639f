"""Looks at the proxy's directory again and again: a bad file does not wait there until the next one is published."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from zlh_common.errors import ZlhError

log = structlog.get_logger()
EVERY_S = 15.0


class Validated(Protocol):
    """What can be validated."""

    async def validate(self) -> None:
        """Move away what stops the proxy for certain."""
        ...


class DirectoryWatch:
    """Every process watches: moving a file twice is moving it once."""

    def __init__(self, directory: Validated) -> None:
        self._directory = directory
        self._code = ""

    async def run(self) -> None:
        """Watch for ever; what hinders is logged when it begins."""
        while True:
            code = ""
            try:
                await self._directory.validate()
            except ZlhError as error:
                code = error.code
                if code != self._code:
                    log.warning("route.watch_failed", code=code, error=error.detail)
            self._code = code
            await asyncio.sleep(EVERY_S)
