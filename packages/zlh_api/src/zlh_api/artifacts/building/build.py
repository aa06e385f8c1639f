"""Building archives: fetch a source by its hash, lay its files out, pack them, record what was made. Twice is once.

    recipe ─ source.pin ─ source.open ─ plan_tree ─ Finisher ─ pack_tree ─ rename ─ record

A run may be killed at any point. What counts is the record beside the archive, written last: an archive without a
record, or with a record of another recipe, is made again, and the temporary files of the killed run are removed.

Where one archive cannot be made the others still are. A recipe that names a line and not a version ("17") is asked for
the newest of it when it is first built, and again when `refresh` says so.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zlh_api.artifacts.building.finish import Finisher
from zlh_api.artifacts.building.layout_rules import LayoutWrong, plan_tree
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.repack import MTIME, Packed, pack_tree
from zlh_api.artifacts.building.sources.choice import Sources, check_platform, layout_for
from zlh_api.artifacts.building.sources.patchelf import Patchelf
from zlh_api.artifacts.building.sources.port import Material, Pin, Source
from zlh_api.artifacts.building.sources.workbench import PLAIN, Means, Workbench
from zlh_api.artifacts.building.tar_reader import ArchiveUnsafe, Blobs, materialise, open_compressed
from zlh_api.artifacts.errors import (
    ArtifactAlreadyPublished,
    ArtifactDamaged,
    ArtifactFetchFailed,
    ArtifactPartsMissing,
    ArtifactsDiskFull,
    ArtifactsNotWritable,
    PlatformNotBuilt,
    RecipeInvalid,
    SourceUnsafe,
    SourceVersionUnexpected,
)
from zlh_api.artifacts.model import BuildRecord, Built, Missing, Progress, Recipe, render_stem
from zlh_api.artifacts.rules import is_of_line, sort_newest_first
from zlh_api.artifacts.tree import (
    ARCHIVE_SUFFIX,
    PUBLIC,
    Tree,
    hash_file,
    remove_leftovers,
)
from zlh_common.durable_files import rename_durably, write_durably
from zlh_common.errors import ZlhError
from zlh_common.runtime_choice import this_platform

# One waits for the network or unpacks while the other packs; more would not make the processors faster.
WORKERS = 2
# What any archive needs while it is made.
LEAST_ROOM_BYTES = 300_000_000

Listener = Callable[[Progress], None]
# The source of such an archive cannot be had here, and nothing is wrong with it.
ABSENT = (ArtifactFetchFailed, ArtifactPartsMissing, PlatformNotBuilt)


def build_artifacts(
    folder: Path,
    book: RecipeBook,
    recipes: Iterable[Recipe],
    *,
    platforms: Iterable[str],
    on_progress: Listener = lambda _progress: None,
    on_missing: Callable[[Missing], None] | None = None,
    means: Means = PLAIN,
    refresh: bool = False,
) -> list[Built]:
    """Make the archives of `recipes` for `platforms` below `folder`, and return one outcome for each.

    `on_missing` hears of each that could not be made, and the others still are; without it the first failure ends the
    build, and platforms are checked before anything is fetched. With `refresh` the newest of each line is asked for
    again.

    Blocks, for minutes where the network is slow; raises the errors of `zlh_api.artifacts.errors`.
    """
    tree, platforms = Tree(folder), list(platforms)
    wanted = [(recipe, platform) for recipe in recipes for platform in platforms]
    if on_missing is None:
        for recipe, platform in wanted:
            check_platform(recipe, platform)
    try:
        with tree.locked() as lock, tree.workspace() as work:
            for name in {recipe.name for recipe, _ in wanted}:
                remove_leftovers(tree.archives / name)
            builder = _Builder(tree, book, on_progress, work, means=means, lock=lock, refresh=refresh)
            return _build_all(builder, wanted, on_missing)
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ArtifactsDiskFull(folder=folder, needed=LEAST_ROOM_BYTES, free=_free(folder)) from exc
        if exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
            raise ArtifactsNotWritable(folder=folder, reason=exc.strerror or str(exc)) from exc
        raise


def _build_all(
    builder: _Builder, wanted: list[tuple[Recipe, str]], on_missing: Callable[[Missing], None] | None
) -> list[Built]:
    """Build side by side what only has to be fetched and packed, and after it what needs that to be built with."""
    simple = [pair for pair in wanted if pair[0].npm is None]
    outcomes: dict[tuple[str, str], Future[Built]] = {}
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        try:
            for recipe, platform in simple:
                outcomes[recipe.label, platform] = pool.submit(builder.build, recipe, platform)
            for future in outcomes.values():
                try:
                    future.result()
                except ZlhError as error:
                    if on_missing is None or not _is_of_one(error):
                        raise
        except BaseException:
            builder.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    built = []
    for recipe, platform in wanted:
        known = outcomes.get((recipe.label, platform))
        try:
            built.append(known.result() if known is not None else builder.build(recipe, platform))
        except ZlhError as error:
            if on_missing is None or not _is_of_one(error):
                raise
            on_missing(Missing(recipe.label, platform, error, is_absent=isinstance(error, ABSENT)))
    return built


def _is_of_one(error: ZlhError) -> bool:
    """Tell whether an error concerns one archive, and not the tree that all are written to."""
    return not isinstance(error, ArtifactsNotWritable)


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


class _Stopped(Exception):
    """Another archive's failure, or Ctrl-C, has ended the build."""


@dataclass(frozen=True, slots=True)
class _Made:
    """An archive that is packed and has no name yet."""

    recipe: Recipe
    platform: str
    pin: Pin
    source_sha256: str
    packed: Packed
    file: Path

    def stem(self, revision: int) -> str:
        """Return the name of the archive as this revision."""
        return render_stem(self.recipe.name, self.pin.version, revision, self.platform)


class _Builder:
    """Builds archives, in several threads at once; the tree's lock is held around its life."""

    def __init__(
        self,
        tree: Tree,
        book: RecipeBook,
        on_progress: Listener,
        work: Path,
        *,
        means: Means,
        lock: int,
        refresh: bool,
    ) -> None:
        self._tree, self._book, self._work, self._refresh = tree, book, work, refresh
        self._listener = on_progress
        # Around the listener, and around what is written beside the archives of one name.
        self._lock = threading.Lock()
        self._is_stopped = threading.Event()
        self._folders = itertools.count()
        bench = Workbench(tree.cache, self._provide, means, lock=lock, read_lock=book.read_lock)
        self._sources = Sources(bench)
        self._patchelf = Patchelf(bench, work / "patchelf")

    def build(self, recipe: Recipe, platform: str) -> Built:
        """Return what is there of the recipe, or make it."""
        check_platform(recipe, platform)
        kept = self._find_kept(recipe, platform)
        if kept is not None and not (self._refresh and recipe.is_line):
            return self._keep(kept)
        started = time.monotonic()
        label = render_stem(recipe.name, recipe.version, recipe.revision, platform)
        self._tell(Progress(label, "fetch"))
        with self._lock:
            source = self._sources.of(recipe, platform)
        pin = source.pin()
        if kept is not None and (kept.source, kept.packages) == (pin.origin, pin.packages):
            return self._keep(kept)
        record = self._make(recipe, platform, source, pin)
        self._tell(Progress(_stem(record), "built", record.unpacked_size, record.unpacked_size))
        return Built(record, reused=False, took_s=time.monotonic() - started)

    def _keep(self, record: BuildRecord) -> Built:
        self._tell(Progress(_stem(record), "kept", record.unpacked_size, record.unpacked_size))
        with self._lock:
            self._tree.write_sums(record.name)
        return Built(record, reused=True)

    def stop(self) -> None:
        """Have what is under way in other threads end soon; nothing of it counts."""
        self._is_stopped.set()

    def _tell(self, progress: Progress) -> None:
        if self._is_stopped.is_set():
            raise _Stopped
        with self._lock:
            self._listener(progress)

    def _find_kept(self, recipe: Recipe, platform: str) -> BuildRecord | None:
        """Return the newest record that this recipe made, where its archive is there and whole."""
        digest = self._book.digest(recipe)
        made = [
            record
            for record in map(self._read, (self._tree.archives / recipe.name).glob("*.json"))
            if record is not None and record.recipe_sha256 == digest and record.platform == platform
        ]
        return next((record for record in sort_newest_first(made) if self._is_whole(record)), None)

    def _read(self, path: Path) -> BuildRecord | None:
        try:
            return self._tree.read_record(path)
        except (FileNotFoundError, ArtifactDamaged):
            return None

    def _is_whole(self, record: BuildRecord) -> bool:
        try:
            return hash_file(self._tree.archive(record)) == (record.sha256, record.size)
        except FileNotFoundError:
            return False

    def _make(self, recipe: Recipe, platform: str, source: Source, pin: Pin) -> BuildRecord:
        if not is_of_line(pin.version, recipe.version):
            raise SourceVersionUnexpected(recipe=recipe.label, found=pin.version)
        free = _free(self._tree.folder)
        if free < source.room_bytes:
            raise ArtifactsDiskFull(folder=self._tree.folder, needed=source.room_bytes, free=free)
        work = self._work / str(next(self._folders))
        work.mkdir()
        try:
            with source.open(pin, work) as material:
                packed = self._pack(recipe, platform, pin, material, work)
            return self._place(_Made(recipe, platform, pin, material.sha256, packed, work / "archive"))
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _pack(self, recipe: Recipe, platform: str, pin: Pin, material: Material, work: Path) -> Packed:
        stem = render_stem(recipe.name, pin.version, recipe.revision, platform)

        def tell(done: int, total: int) -> None:
            self._tell(Progress(stem, "repack", done, total))

        (work / "made").mkdir()
        layout = layout_for(recipe, platform)
        finisher = Finisher(material, layout, Blobs(work / "made"), platform=platform, at_s=MTIME)
        try:
            entries = finisher.finish(plan_tree(material.entries, layout), self._patchelf.set_search)
        except LayoutWrong as exc:
            raise RecipeInvalid(recipe=recipe.label, reason=str(exc)) from exc
        except ArchiveUnsafe as exc:
            raise SourceUnsafe(source=pin.origin, reason=str(exc)) from exc
        archive = work / "archive"
        return pack_tree(entries, archive, open_file=finisher.open, read_text=self._book.read_text, on_progress=tell)

    def _place(self, made: _Made) -> BuildRecord:
        """Give the archive its name, then write its record."""
        folder = self._tree.archives / made.recipe.name
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            revision = self._choose_revision(made)
            stem = made.stem(revision)
            archive = folder / f"{stem}{ARCHIVE_SUFFIX}"
            os.chmod(made.file, PUBLIC)  # noqa: PTH101 - a work file of ours, no link
            rename_durably(made.file, archive)
            record = self._record(made, revision, str(archive.relative_to(self._tree.folder)))
            text = msgspec.json.format(msgspec.json.encode(record), indent=1)
            write_durably(folder / f"{stem}.json", text, mode=PUBLIC)
            self._tree.write_sums(record.name)
        return record

    def _choose_revision(self, made: _Made) -> int:
        """Return the recipe's own revision; of a line, the next where clients may know that one with other contents."""
        revision = made.recipe.revision
        while True:
            held = self._read(self._tree.archives / made.recipe.name / f"{made.stem(revision)}.json")
            wanted = made.packed.sha256
            if held is None or held.sha256 == wanted or not self._tree.is_published(held.sha256):
                return revision
            if not made.recipe.is_line:
                name = f"{made.stem(revision)}{ARCHIVE_SUFFIX}"
                raise ArtifactAlreadyPublished(archive=name, wanted=wanted, found=held.sha256)
            revision += 1

    def _provide(self, label: str, folder: Path) -> None:
        """Unpack the archive of another recipe, made where it is not there."""
        record = self.build(self._book.find(label), this_platform()).record
        blobs = Blobs(folder.with_name(f"{folder.name}-blobs"))
        blobs.folder.mkdir()
        try:
            with self._tree.archive(record).open("rb") as file:
                blobs.add_tar(open_compressed(file, record.path))
            materialise(blobs, folder)
        except ArchiveUnsafe as exc:
            raise ArtifactDamaged(file=record.path, reason=str(exc)) from exc
        shutil.rmtree(blobs.folder)

    def _record(self, made: _Made, revision: int, path: str) -> BuildRecord:
        recipe, pin, packed = made.recipe, made.pin, made.packed
        return BuildRecord(
            kind=recipe.kind,
            edition=recipe.edition,
            name=recipe.name,
            title=recipe.title,
            version=pin.version,
            revision=revision,
            default=recipe.default,
            channel=recipe.channel,
            upstream=recipe.upstream,
            licence=recipe.licence,
            bin=recipe.bin,
            environment=recipe.environment,
            smoke_test=recipe.smoke_test,
            smoke_expect=recipe.smoke_expect.replace("{version}", pin.version),
            platform=made.platform,
            path=path,
            size=packed.size,
            unpacked_size=packed.unpacked_size,
            entries=packed.entries,
            sha256=packed.sha256,
            source=pin.origin,
            source_sha256=made.source_sha256,
            recipe_sha256=self._book.digest(recipe),
            packages=pin.packages,
            for_games=recipe.for_games,
        )


def _stem(record: BuildRecord) -> str:
    return render_stem(record.name, record.version, record.revision, record.platform)
