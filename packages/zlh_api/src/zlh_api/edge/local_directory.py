"""Route files in a directory of this machine: temporary name, fsync, rename, read back."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from zlh_api.edge.model import RouteFile, text_sha256
from zlh_api.edge.port import Check, FoundRoute, RouteFileForeign, RoutesUnreadable, RouteWriteFailed, unconditional
from zlh_api.edge.traefik_file import parse_mark
from zlh_common.durable_files import sync_folder, write_durably

# A file that was changed so short a time before it was read may change again within the same tick of its time stamp.
SETTLES_IN_S = 2.0
# What tells one version of a file from another without reading it.
_Version = tuple[int, int, int, int]


class LocalRouteDirectory:
    """Traefik watches the directory itself, so nothing but finished files may ever end in .yml there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # What the last survey read, so that the next one reads only what has changed.
        self._known: dict[str, tuple[_Version, FoundRoute]] = {}

    async def survey(self) -> list[FoundRoute]:
        """Return everything that lies in the directory; raise RoutesUnreadable."""
        return await asyncio.to_thread(self._survey)

    async def fetch(self, name: str) -> str | None:
        """Return the text of a file, or None."""
        return await asyncio.to_thread(self._read, name)

    async def publish(self, file: RouteFile, *, check: Check = unconditional) -> None:
        """Put the file there and read it back; raise RouteFileForeign, RouteWriteFailed."""
        await asyncio.to_thread(self._publish, file, check)

    async def withdraw(self, name: str, owner: str, *, check: Check = unconditional) -> None:
        """Take our file away; a foreign one stays."""
        await asyncio.to_thread(self._withdraw, name, owner, check)

    def _survey(self) -> list[FoundRoute]:
        known: dict[str, tuple[_Version, FoundRoute]] = {}
        try:
            with os.scandir(self._folder) as entries:
                found = [file for entry in entries if (file := self._look_at(entry, known)) is not None]
        except FileNotFoundError:
            # It is made with the first file.
            return []
        except OSError as exc:
            raise RoutesUnreadable(str(exc)) from exc
        self._known = known
        return found

    def _look_at(self, entry: os.DirEntry[str], known: dict[str, tuple[_Version, FoundRoute]]) -> FoundRoute | None:
        """Return a file of the directory; None for one that is gone again or is still being written."""
        if entry.name.startswith(".") and entry.name.endswith(".new"):
            return None
        try:
            status = entry.stat(follow_symlinks=False)
            version = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            before = self._known.get(entry.name)
            if before is not None and before[0] == version:
                known[entry.name] = before
                return before[1]
            began = time.time()
            found = _read_route(entry)
        except FileNotFoundError:
            return None
        if began - status.st_ctime > SETTLES_IN_S:
            known[entry.name] = (version, found)
        return found

    def _read(self, name: str) -> str | None:
        try:
            return (self._folder / name).read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as exc:
            raise RouteWriteFailed(name=name, reason=str(exc)) from exc

    def _publish(self, file: RouteFile, check: Check) -> None:
        present = self._read(file.name)
        if present is not None and parse_mark(present) != parse_mark(file.text):
            raise RouteFileForeign(file.name)
        check()
        try:
            # Traefik may run as another user. It reads every .yml, dot files too, but not what is still being written.
            write_durably(self._folder / file.name, file.text.encode(), mode=0o644)
        except OSError as exc:
            raise RouteWriteFailed(name=file.name, reason=str(exc)) from exc
        if self._read(file.name) != file.text:
            raise RouteWriteFailed(name=file.name, reason="what was read back is not what was written")

    def _withdraw(self, name: str, owner: str, check: Check) -> None:
        present = self._read(name)
        if present is not None and parse_mark(present) == owner:
            check()
            (self._folder / name).unlink(missing_ok=True)
            sync_folder(self._folder)


def _read_route(entry: os.DirEntry[str]) -> FoundRoute:
    if not entry.is_file(follow_symlinks=False):
        return FoundRoute(entry.name, None, "")
    try:
        text = Path(entry.path).read_bytes()
    except PermissionError:
        return FoundRoute(entry.name, None, "")
    return FoundRoute(entry.name, parse_mark(text.decode("utf-8", "replace")), text_sha256(text))
