"""Route files in a directory of this machine: temporary name, fsync, rename, read back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from zlh_api.edge.port import Check, RouteFileForeign, RouteWriteFailed, unconditional
from zlh_api.edge.traefik_file import RouteFile, parse_mark
from zlh_common.durable_files import sync_folder, write_durably


class LocalRouteDirectory:
    """Traefik watches the directory itself, so nothing but finished files may ever end in .yml there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def fetch(self, name: str) -> str | None:
        """Return the text of a file, or None."""
        return await asyncio.to_thread(self._read, name)

    async def publish(self, file: RouteFile, *, check: Check = unconditional) -> None:
        """Put the file there and read it back; raise RouteFileForeign, RouteWriteFailed."""
        await asyncio.to_thread(self._publish, file, check)

    async def withdraw(self, name: str, owner: str, *, check: Check = unconditional) -> None:
        """Take our file away; a foreign one stays."""
        await asyncio.to_thread(self._withdraw, name, owner, check)

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
