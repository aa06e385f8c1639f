"""The tree on disk: where each file stands, and the only ways in which one is written.

    archives/<name>/<stem>.tar.zst   the archive, never changed once it is published
    archives/<name>/<stem>.json      its build record
    archives/<name>/SHA256SUMS       for people who check by hand
    metadata/  targets/              TUF, consistent snapshots
    .templates/<name>.json           what was resolved of a template of a game server; never served
    .decisions.json                  which versions are candidate, stable, default or withdrawn; never served
    .work/  .lock                    never served; what a killed run left there is removed by the next one
    .cache/                          never served; what sources keep between builds, and may be removed at any time

A file appears whole or not at all (temp, fsync, rename, fsync of the folder). Writers take the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zlh_api.artifacts.errors import ArtifactDamaged, ArtifactsBusy, ArtifactsNotWritable
from zlh_api.artifacts.model import BuildRecord, Decisions
from zlh_api.artifacts.template_model import TemplateRecord
from zlh_common.durable_files import sync_folder, write_durably

ARCHIVE_SUFFIX = ".tar.zst"
SUMS = "SHA256SUMS"
DECISIONS = ".decisions.json"
# Of whatever is served: any web server may read it.
PUBLIC = 0o644
LOCK_WAIT_S = 60.0
_CHUNK = 1 << 20


class Tree:
    """Names the files below one folder; making one neither reads nor writes anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archives = folder / "archives"
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.work = folder / ".work"
        self.cache = folder / ".cache"
        self.templates = folder / ".templates"

    def archive(self, record: BuildRecord) -> Path:
        """Return where the archive of `record` stands."""
        return self.folder / record.path

    def records(self) -> list[BuildRecord]:
        """Return every build record; raise ArtifactDamaged for one that cannot be read."""
        return [self.read_record(path) for path in self.record_paths()]

    def record_paths(self) -> list[Path]:
        """Return where build records stand."""
        return [path for folder in self.archive_folders() for path in sorted(folder.glob("*.json"))]

    def archive_folders(self) -> list[Path]:
        """Return the folders of archives; nothing that a link leads to is part of the tree, and nobody is served it."""
        return sorted(path for path in self.archives.glob("*") if path.is_dir() and not path.is_symlink())

    def read_record(self, path: Path) -> BuildRecord:
        """Return one build record; raise ArtifactDamaged where it is none, or speaks for another archive.

        What a record names is signed, and removed one day: it can be nothing but what lies beside it.
        """
        file = str(path.relative_to(self.folder))
        try:
            record = msgspec.json.decode(path.read_bytes(), type=BuildRecord)
        except FileNotFoundError:
            raise
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as exc:
            raise ArtifactDamaged(file=file, reason=str(exc)) from exc
        if record.path.removesuffix(ARCHIVE_SUFFIX) != file.removesuffix(".json"):
            raise ArtifactDamaged(file=file, reason=f"it is the record of {record.path[:200]}")
        return record

    def template_records(self) -> list[TemplateRecord]:
        """Return what was resolved of every template; raise ArtifactDamaged for what cannot be read."""
        return [self._read_template(path) for path in sorted(self.templates.glob("*.json"))]

    def find_template(self, name: str) -> TemplateRecord | None:
        """Return what was resolved of one template, where that is there and can be read."""
        try:
            return self._read_template(self.templates / f"{name}.json")
        except (FileNotFoundError, ArtifactDamaged):
            return None

    def _read_template(self, path: Path) -> TemplateRecord:
        file = str(path.relative_to(self.folder))
        try:
            record = msgspec.json.decode(path.read_bytes(), type=TemplateRecord)
        except FileNotFoundError:
            raise
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as exc:
            raise ArtifactDamaged(file=file, reason=str(exc)) from exc
        if record.name != path.stem:
            raise ArtifactDamaged(file=file, reason=f"it is the record of {record.name}")
        return record

    def write_template(self, record: TemplateRecord) -> None:
        """Keep what was resolved of one template; call with the lock held."""
        self.templates.mkdir(exist_ok=True)
        raw = msgspec.json.format(msgspec.json.encode(record), indent=1)
        write_durably(self.templates / f"{record.name}.json", raw, mode=PUBLIC)

    def read_decisions(self) -> Decisions:
        """Return what was decided; raise ArtifactDamaged rather than forget a decision."""
        try:
            return msgspec.json.decode((self.folder / DECISIONS).read_bytes(), type=Decisions)
        except FileNotFoundError:
            return Decisions()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as exc:
            raise ArtifactDamaged(file=DECISIONS, reason=str(exc)) from exc

    def write_decisions(self, decisions: Decisions) -> None:
        """Make these the decisions that hold; call with the lock held."""
        raw = msgspec.json.format(msgspec.json.encode(decisions, order="deterministic"), indent=1)
        write_durably(self.folder / DECISIONS, raw, mode=PUBLIC)

    def read_catalogs(self) -> bytes:
        """Return the text of every catalog that is still there, one after the other."""
        return b"".join(path.read_bytes() for path in sorted(self.targets.glob("*.catalog.json")))

    def is_published(self, sha256: str) -> bool:
        """Tell whether any catalog that a client may still hold names this archive."""
        return sha256 in self.read_decisions().left or sha256.encode() in self.read_catalogs()

    def remove_build(self, record: BuildRecord) -> None:
        """Remove a record, then its archive; call with the lock held, and write the sums when all are gone.

        A kill in between leaves an archive without a record, which is nobody's and goes with the next prune.
        """
        archive = self.archive(record)
        archive.with_name(archive.name.removesuffix(ARCHIVE_SUFFIX) + ".json").unlink(missing_ok=True)
        sync_folder(archive.parent)
        archive.unlink(missing_ok=True)

    def write_sums(self, name: str) -> None:
        """Write `SHA256SUMS` of one runtime from its records."""
        records = [self.read_record(path) for path in sorted((self.archives / name).glob("*.json"))]
        lines = [f"{record.sha256}  {Path(record.path).name}\n" for record in records]
        write_durably(self.archives / name / SUMS, "".join(lines).encode(), mode=PUBLIC)

    @contextmanager
    def locked(self, wait_s: float = LOCK_WAIT_S) -> Iterator[int]:
        """Hold the tree for writing; raise ArtifactsBusy when another process keeps it longer than `wait_s`.

        The kernel drops the lock of a process that dies, so nobody ever has to remove it. Gives its descriptor: a child
        that works in the tree gets it too, and so keeps the lock where its parent is killed.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ArtifactsNotWritable(folder=self.folder, reason=exc.strerror or str(exc)) from exc
        try:
            # Whoever may read it may hold it, for ever, and the tree is read by everybody.
            os.fchmod(descriptor, 0o600)
            self._wait_for_lock(descriptor, wait_s)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the tree for a change of what is offered; what the disk or a mode refuses is ArtifactsNotWritable.

        Each line of such a change leaves the old offer or the new one, so there is nothing to undo.
        """
        with self.locked():
            try:
                yield
            except OSError as exc:
                file = exc.filename if isinstance(exc.filename, str) else self.folder
                raise ArtifactsNotWritable(folder=Path(file), reason=exc.strerror or str(exc)) from exc

    def _wait_for_lock(self, descriptor: int, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise ArtifactsBusy(folder=self.folder, waited_s=wait_s) from None
                time.sleep(0.05)
            else:
                return

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give an empty folder on the tree's own file system; call with the lock held.

        With the lock held nobody else works here, so whatever is found is what a killed run left.
        """
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(mode=0o700)
        try:
            yield self.work
        finally:
            shutil.rmtree(self.work, ignore_errors=True)


def hash_file(path: Path, on_bytes: Callable[[int], None] = lambda _count: None) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file; `on_bytes` hears of every chunk."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest(), size


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed writers from one folder; call with the lock held."""
    for path in folder.glob(".*"):
        if path.is_file() and path.name != ".lock":
            path.unlink(missing_ok=True)
