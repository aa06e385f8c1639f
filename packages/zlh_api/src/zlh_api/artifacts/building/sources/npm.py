"""npm packages: the package by its SHA-512, everything that it needs by a lock file, built in a child.

Install scripts of hundreds of packages run here, compilers too. They get an environment of their own, with nothing of
ours but the way to the network; they are not otherwise held, so a build that uses this belongs on a machine for builds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from zlh_api.artifacts.building.layout_rules import SourceEntry
from zlh_api.artifacts.building.sources.npm_rules import LockUnusable, check_lock, integrity_hex, render_package
from zlh_api.artifacts.building.sources.port import Material, Pin
from zlh_api.artifacts.building.sources.workbench import Workbench, network_environment
from zlh_api.artifacts.building.tar_reader import ArchiveUnsafe, Blobs, materialise, open_compressed
from zlh_api.artifacts.errors import ArtifactFetchFailed, ArtifactPartsMissing, SourceHashMismatch, SourceUnsafe
from zlh_api.artifacts.model import NpmSource, Recipe
from zlh_api.artifacts.tree import hash_file

FETCH_TIMEOUT_S = 300
INSTALL_TIMEOUT_S = 1800
LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
# Where distributions keep the settings of npm for all users; it need not be there.
GLOBAL_SETTINGS = Path("/etc/npmrc")
# 2020-01-01, for what writes a time into what it makes.
SOURCE_DATE = "1577836800"
_SPECIAL_BITS = 0o7000


class FromNpm:
    """The files of one package with everything that it needs."""

    # code-server: the tree, npm's cache, what the compilers leave, and the archive.
    room_bytes = 4_000_000_000

    def __init__(self, recipe: Recipe, source: NpmSource, bench: Workbench) -> None:
        self._recipe, self._source, self._bench = recipe, source, bench
        self._origin = f"npm:{source.package}@{source.version}"

    def pin(self) -> Pin:
        """Return what the recipe says; raise ArtifactPartsMissing where it cannot be built here."""
        missing = [program for program in self._source.programs if shutil.which(program) is None]
        if not missing:
            missing = [f"the headers of {name}" for name in self._source.headers if not _has_headers(name)]
        if missing:
            raise ArtifactPartsMissing(recipe=self._recipe.label, parts=missing)
        return Pin(self._recipe.version, self._origin)

    @contextmanager
    def open(self, pin: Pin, work: Path) -> Iterator[Material]:
        """Fetch, check, install and build; then hand out what came of it, as `package`, and the `node` beside it."""
        node, package = work / "node", work / "package"
        self._bench.provide(self._source.node, node)
        environment = self._environment(work, node)
        tarball = self._fetch(work, node, environment)
        sha256, _size = hash_file(tarball)
        self._lay_out(tarball, work, package)
        command = [str(node / "bin/npm"), "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
        command += [] if self._source.run_scripts else ["--ignore-scripts"]
        self._bench.run(command, source=pin.origin, timeout_s=INSTALL_TIMEOUT_S, cwd=package, env=environment)
        paths = {f"{top.name}/{name}": path for top in (package, node) for name, path in _walk(top, pin.origin)}
        entries = [_entry(name, path) for name, path in sorted(paths.items())]

        def open_file(name: str) -> IO[bytes]:
            return paths[name].open("rb")

        yield Material(entries, open_file, sha256)

    def _environment(self, work: Path, node: Path) -> dict[str, str]:
        for name in ("home", "tmp"):
            (work / name).mkdir()
        compiler = f"-g0 -ffile-prefix-map={work}=/build"
        user_settings = Path.home() / ".npmrc"
        return {
            **network_environment(),
            "PATH": f"{node}/bin:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(work / "home"),
            "TMPDIR": str(work / "tmp"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": SOURCE_DATE,
            "CFLAGS": compiler,
            "CXXFLAGS": compiler,
            # How npm of this user and machine reaches its registry, as pip's own settings are used for wheels.
            # This npm would look for those of the machine beside itself.
            "npm_config_userconfig": str(user_settings),
            "npm_config_globalconfig": str(GLOBAL_SETTINGS),
            "npm_config_cache": str(work / "npm"),
            # Headers of the node that it will run on, in place of a download.
            "npm_config_nodedir": str(node),
            "npm_config_update_notifier": "false",
            # A wrong hash is tried again too, by default for minutes.
            "npm_config_fetch_retries": "2",
            "npm_config_fetch_retry_mintimeout": "500",
            "npm_config_fetch_retry_maxtimeout": "3000",
        }

    def _fetch(self, work: Path, node: Path, environment: dict[str, str]) -> Path:
        target = work / "fetched"
        target.mkdir()
        wanted = f"{self._source.package}@{self._source.version}"
        command = [str(node / "bin/npm"), "pack", wanted, "--loglevel=error", "--pack-destination", str(target)]
        self._bench.run(command, source=self._origin, timeout_s=FETCH_TIMEOUT_S, cwd=work, env=environment)
        fetched = sorted(target.glob("*.tgz"))
        if len(fetched) != 1:
            raise ArtifactFetchFailed(source=self._origin, reason=f"npm fetched {len(fetched)} packages")
        with fetched[0].open("rb") as file:
            found = hashlib.file_digest(file, "sha512").hexdigest()
        if found != integrity_hex(self._source.integrity):
            raise SourceHashMismatch(source=self._origin, wanted=integrity_hex(self._source.integrity), found=found)
        return fetched[0]

    def _lay_out(self, tarball: Path, work: Path, package: Path) -> None:
        """Make the folder in which npm installs: the package itself, or an empty one that a lock file of ours fills."""
        if self._source.lock is None:
            self._unpack(tarball, work, package)
            return
        lock = self._bench.read_lock(self._source.lock)
        try:
            check_lock(lock)
            manifest = render_package(lock, package=self._source.package, integrity=self._source.integrity)
        except LockUnusable as exc:
            raise SourceUnsafe(source=self._source.lock, reason=str(exc)) from exc
        package.mkdir()
        (package / "package.json").write_bytes(manifest)
        (package / "package-lock.json").write_bytes(lock)

    def _unpack(self, tarball: Path, work: Path, package: Path) -> None:
        """Write the package's files out, where its locks hold all that npm would fetch."""
        (work / "blobs").mkdir()
        blobs = Blobs(work / "blobs")
        try:
            with tarball.open("rb") as file:
                blobs.add_tar(open_compressed(file, tarball.name))
            self._check_locks(blobs)
            materialise(blobs, package, below="package")
        except (ArchiveUnsafe, LockUnusable) as exc:
            raise SourceUnsafe(source=self._origin, reason=str(exc)) from exc
        shutil.rmtree(work / "blobs")

    def _check_locks(self, blobs: Blobs) -> None:
        locks = [name for name in blobs.entries if name.rsplit("/", 1)[-1] in LOCKS]
        if not any(f"package/{lock}" in blobs.entries for lock in LOCKS):
            raise LockUnusable("it has no lock file")
        for name in locks:
            with blobs.open(name) as file:
                check_lock(file.read())


def _has_headers(name: str) -> bool:
    if shutil.which("pkg-config") is None:
        return False
    return subprocess.run(["pkg-config", "--exists", name], check=False, capture_output=True).returncode == 0


def _walk(folder: Path, source: str) -> Iterator[tuple[str, Path]]:
    """Yield name and path of every file and link; raise SourceUnsafe for anything else."""
    for parent, folders, files in os.walk(folder):
        for name in [*files, *folders]:
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            is_plain = stat.S_ISREG(status.st_mode) and not status.st_mode & _SPECIAL_BITS
            if not is_plain and not stat.S_ISLNK(status.st_mode):
                raise SourceUnsafe(source=source, reason=f"it left {name}, which is no plain file")
            yield str(path.relative_to(folder)), path


def _entry(name: str, path: Path) -> SourceEntry:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return SourceEntry(name, 0, executable=False, target=str(path.readlink()))
    return SourceEntry(name, status.st_size, bool(status.st_mode & stat.S_IXUSR))
