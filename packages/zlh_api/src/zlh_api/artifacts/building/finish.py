"""What a tree needs beyond files that lie where they belong: edits, unpacked wheels, libraries, a trust store.

    planned tree ─ wheels ─ edits ─ trust stores ─ libraries ─ finished tree

What comes of it stands in numbered files beside those of the source. A tree is finished when every program in it finds
every library that it needs, in the tree or in any root file system of Debian 12; a recipe that cannot promise that says
which libraries may be lacking.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from zlh_api.artifacts.building.elf import Elf, ElfDamaged, read_elf
from zlh_api.artifacts.building.sources.port import Material
from zlh_api.artifacts.building.sources.wheel import list_wheel
from zlh_api.artifacts.building.tar_reader import Blobs
from zlh_api.artifacts.building.trust_store import parse_pem, render_trust_store
from zlh_api.artifacts.model import Layout
from zlh_api.artifacts.rules import BASE_LIBRARIES, LayoutWrong, TreeEntry, arrange, relative_folder

# Sets the folders in which a program looks for libraries.
Patcher = Callable[[Path, str], None]
MADE = "//made/"


class Finisher:
    """Works on one planned tree; `blobs` is where what it makes is kept."""

    def __init__(self, material: Material, layout: Layout, blobs: Blobs, *, platform: str, at_s: int) -> None:
        self._material, self._layout, self._blobs = material, layout, blobs
        self._platform, self._at_s = platform, at_s
        self._tree: dict[str, TreeEntry] = {}

    def open(self, name: str) -> IO[bytes]:
        """Open a file that an entry of the finished tree names."""
        return self._blobs.open(name) if name.startswith(MADE) else self._material.open(name)

    def finish(self, planned: list[TreeEntry], patch: Patcher) -> list[TreeEntry]:
        """Return the finished tree; raise LayoutWrong, ArchiveUnsafe, SourceUnsafe."""
        self._tree = {entry.path: entry for entry in planned if entry.kind != "folder"}
        for folder, pattern in self._layout.unpack.items():
            self._unpack(folder, pattern)
        for path, texts in self._layout.edits.items():
            self._edit(path, texts)
        for path, pattern in self._layout.trust_stores.items():
            self._add_trust_store(path, pattern)
        self._settle_libraries(patch)
        return arrange(self._tree.values())

    def _put(self, path: str, source: IO[bytes], *, executable: bool) -> Path:
        name = f"{MADE}{len(self._blobs.entries)}"
        self._blobs.add_file(name, source, executable=executable)
        entry = self._blobs.entries[name]
        self._tree[path] = TreeEntry(path, "file", name, entry.size, executable)
        return self._blobs.path(name)

    def _unpack(self, folder: str, pattern: str) -> None:
        name = self._only(pattern)
        try:
            with self._material.open(name) as file, zipfile.ZipFile(file) as wheel:
                for entry in list_wheel(wheel, source=name):
                    with wheel.open(entry.name) as content:
                        self._put(f"{folder}/{entry.name}", content, executable=entry.executable)
        except zipfile.BadZipFile as exc:
            raise LayoutWrong(f"{name} is damaged: {exc}") from exc

    def _only(self, pattern: str) -> str:
        found = [entry.name for entry in self._material.entries if fnmatchcase(entry.name, pattern)]
        if len(found) != 1:
            raise LayoutWrong(f"{len(found)} files of the source match {pattern}")
        return found[0]

    def _edit(self, path: str, texts: dict[str, str]) -> None:
        entry = self._tree.get(path)
        if entry is None or entry.kind != "file":
            raise LayoutWrong(f"there is no file {path} to edit")
        with self.open(entry.origin) as file:
            text = file.read().decode("utf-8", "surrogateescape")
        for old, new in texts.items():
            if old not in text:
                raise LayoutWrong(f"{path} does not say {old!r}")
            text = text.replace(old, new)
        self._put_text(path, text.encode("utf-8", "surrogateescape"), executable=entry.executable)

    def _put_text(self, path: str, content: bytes, *, executable: bool = False) -> None:
        self._put(path, io.BytesIO(content), executable=executable)

    def _add_trust_store(self, path: str, pattern: str) -> None:
        certificates: list[bytes] = []
        for entry in self._material.entries:
            if entry.target is None and fnmatchcase(entry.name, pattern):
                certificates += self._certificates(entry.name)
        if not certificates:
            raise LayoutWrong(f"no certificate of the source matches {pattern}")
        self._put_text(path, render_trust_store(certificates, at_ms=self._at_s * 1000))

    def _certificates(self, name: str) -> list[bytes]:
        try:
            with self._material.open(name) as file:
                return parse_pem(file.read())
        except ValueError as exc:
            raise LayoutWrong(f"{name} is no certificate: {exc}") from exc

    def _settle_libraries(self, patch: Patcher) -> None:
        """Add the libraries that are needed, and theirs; then see that nothing lacks any."""
        programs = dict(self._programs())
        added = self._add_libraries(programs) if self._layout.libraries else {}
        for path, elf in programs.items():
            if set(elf.needed) & set(added):
                self._point(path, elf, patch)
        there = {path.rsplit("/", 1)[-1] for path in self._tree}
        lacking = {
            f"{needed} (for {path})"
            for path, elf in programs.items()
            for needed in elf.needed
            if not (BASE_LIBRARIES.fullmatch(needed) or needed in there or needed in self._layout.may_lack)
        }
        if lacking:
            raise LayoutWrong(f"it would lack {', '.join(sorted(lacking)[:10])}")

    def _add_libraries(self, programs: dict[str, Elf]) -> dict[str, str]:
        """Add to tree and `programs` what these need, and what that needs; return name → path of what was added."""
        offered, added = self._offered(), dict[str, str]()
        there = {path.rsplit("/", 1)[-1] for path in self._tree}
        waiting = list(programs.values())
        while waiting:
            for needed in waiting.pop().needed:
                if BASE_LIBRARIES.fullmatch(needed) or needed in there or needed not in offered:
                    continue
                path = f"{self._layout.libraries}/{needed}"
                elf = self._add_library(path, offered[needed])
                programs[path], added[needed] = elf, path
                there.add(needed)
                waiting.append(elf)
        return added

    def _point(self, path: str, elf: Elf, patch: Patcher) -> None:
        """Have a program look in the folder of the libraries too, wherever the tree is."""
        folder = f"$ORIGIN/{relative_folder(path, self._layout.libraries or '')}".removesuffix("/.")
        entry = self._tree[path]
        with self.open(entry.origin) as file:
            copy = self._put(path, file, executable=entry.executable)
        patch(copy, ":".join([*(place for place in elf.search if place != folder), folder]))
        self._tree[path] = replace(self._tree[path], size=copy.stat().st_size)

    def _offered(self) -> dict[str, str]:
        """Return the libraries that may be added: the name by which each is needed → its name in the source."""
        plain = {entry.name for entry in self._material.entries if entry.target is None}
        found = {}
        for name in sorted(self._material.libraries.keys() & plain):
            elf = self._read(name)
            if elf is not None and elf.soname is not None:
                found[elf.soname] = name
        return found

    def _programs(self) -> Iterator[tuple[str, Elf]]:
        for path, entry in self._tree.items():
            if entry.kind == "file" and entry.size > 64:
                elf = self._read(entry.origin)
                if elf is not None:
                    yield path, elf

    def _read(self, name: str) -> Elf | None:
        try:
            with self.open(name) as file:
                if file.read(4) != b"\x7fELF":
                    return None
            with self.open(name) as file:
                return read_elf(file, self._platform)
        except ElfDamaged as exc:
            raise LayoutWrong(f"{name} cannot be read: {exc}") from exc

    def _add_library(self, path: str, name: str) -> Elf:
        with self._material.open(name) as file:
            self._put(path, file, executable=False)
        text = self._material.libraries[name]
        with self._material.open(text) as file:
            self._put(f"LICENSES/{text.split('/')[-2]}.txt", file, executable=False)
        return self._read(self._tree[path].origin) or Elf()
