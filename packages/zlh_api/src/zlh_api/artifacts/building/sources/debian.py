"""Debian packages: their files alone, read by a reader of ours, as the suite's signed index names them today."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zlh_api.artifacts.building.sources.apt import Apt
from zlh_api.artifacts.building.sources.apt_rules import DebFile, upstream_version
from zlh_api.artifacts.building.sources.port import Material, Pin
from zlh_api.artifacts.building.tar_reader import ArchiveUnsafe, Blobs, add_deb
from zlh_api.artifacts.errors import SourceUnsafe
from zlh_api.artifacts.model import DebianSource, Recipe, SourcePackage

ARCHITECTURES = {"linux-x86_64": "amd64", "linux-aarch64": "arm64"}
_LIBRARY = re.compile(r"(usr/)?lib/[a-z0-9_]+-linux-gnu/[^/]+\.so(\.[0-9.]+)?")


class FromDebian:
    """The files of some packages of one suite."""

    # Packages, their files, and the archive of a JDK.
    room_bytes = 1_000_000_000

    def __init__(self, recipe: Recipe, source: DebianSource, apt: Apt) -> None:
        self._recipe, self._source, self._apt = recipe, source, apt
        self._label = f"debian:{source.packages[0]}"
        self._found: list[DebFile] = []

    def pin(self) -> Pin:
        """Ask the suite's index."""
        names = [*self._source.packages, *self._source.libraries]
        self._found = self._apt.find(names, source=self._label)
        main = self._found[0]
        packages = tuple(
            SourcePackage(name=file.package, version=file.version, sha256=file.sha256)
            for file in sorted(self._found, key=lambda file: file.package)
        )
        return Pin(upstream_version(main.version), f"{self._label}={main.version}", packages)

    @contextmanager
    def open(self, pin: Pin, work: Path) -> Iterator[Material]:
        """Fetch the packages and read their files into numbered ones."""
        debs = self._apt.fetch(self._found, work, source=pin.origin)
        (work / "blobs").mkdir()
        blobs = Blobs(work / "blobs")
        of_package: dict[str, str] = {}
        for file, deb in zip(self._found, debs, strict=True):
            before = set(blobs.entries)
            try:
                add_deb(blobs, deb)
            except ArchiveUnsafe as exc:
                raise SourceUnsafe(source=f"{file.package}={file.version}", reason=str(exc)) from exc
            deb.unlink()
            of_package |= dict.fromkeys(set(blobs.entries) - before, file.package)
        libraries = {
            name: _licence_of(package, blobs)
            for name, package in of_package.items()
            if package in self._source.libraries and _LIBRARY.fullmatch(name)
        }
        yield Material(list(blobs.entries.values()), blobs.open, self._found[0].sha256, libraries)


def _licence_of(package: str, blobs: Blobs) -> str:
    """Return the name of a package's licence text, which may be that of the package it was split from."""
    folder = blobs.entries.get(f"usr/share/doc/{package}")
    owner = folder.target if folder is not None and folder.target else package
    name = f"usr/share/doc/{owner}/copyright"
    if name not in blobs.entries:
        raise SourceUnsafe(source=package, reason="it has no licence text")
    return name
