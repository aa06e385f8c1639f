"""Takes the archives of a release into a tree, as if they had been built there; `publish` then offers them.

    <release>/artifacts/archives/<name>/<stem>.tar.zst, .json      as in a tree
    <release>/SHA256SUMS                                           of every file, where the release has it

Each archive is hashed as it is copied, and counts once its record lies beside it, which is written last. A run that was
killed is completed by the same command.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from zlh_api.artifacts.errors import ArtifactDamaged, ArtifactDiffers, ArtifactsNotInitialised, NothingToImport
from zlh_api.artifacts.model import BuildRecord, Built
from zlh_api.artifacts.tree import ARCHIVE_SUFFIX, PUBLIC, SUMS, Tree, hash_file, remove_leftovers
from zlh_common.durable_files import rename_durably, write_durably

_CHUNK = 1 << 20


def import_archives(folder: Path, release: Path) -> list[Built]:
    """Copy every archive of a release into the tree; return one outcome for each.

    Raises ArtifactDamaged for what is not as its record and the sums of the release say, before anything of it counts,
    ArtifactDiffers where clients know other bytes by that name, NothingToImport, ArtifactsNotInitialised.
    """
    tree = Tree(folder)
    if not tree.archives.is_dir():
        raise ArtifactsNotInitialised(folder=folder, missing="archives")
    source = _find_source(release)
    records = source.records()
    if not records:
        raise NothingToImport(folder=release)
    _check_sums(release, source, records)
    with tree.changing():
        return [_import(tree, source, record) for record in records]


def parse_sums(text: str) -> dict[str, str]:
    """Return name → SHA-256 of the lines that `sha256sum` writes; others are passed over."""
    parts = (line.split("  ", 1) for line in text.splitlines())
    return {pair[1]: pair[0] for pair in parts if len(pair) == 2}


def _find_source(release: Path) -> Tree:
    inner = release / "artifacts"
    return Tree(inner if (inner / "archives").is_dir() else release)


def _record_path(tree: Tree, record: BuildRecord) -> Path:
    archive = tree.archive(record)
    return archive.with_name(archive.name.removesuffix(ARCHIVE_SUFFIX) + ".json")


def _check_sums(release: Path, source: Tree, records: list[BuildRecord]) -> None:
    """Hold each record to the sums of the release, which people check by other means; the record holds its archive."""
    sums = release / SUMS
    if not sums.is_file():
        return
    known = parse_sums(sums.read_text("utf-8", "replace"))
    for record in records:
        name = str(_record_path(source, record).relative_to(release))
        if hash_file(release / name)[0] != known.get(name):
            raise ArtifactDamaged(file=name, reason=f"{SUMS} of the release has another hash for it, or none")


def _import(tree: Tree, source: Tree, record: BuildRecord) -> Built:
    target = tree.archive(record)
    held = _read_held(tree, record)
    if held is not None and held.sha256 != record.sha256 and tree.is_published(held.sha256):
        raise ArtifactDiffers(archive=target.name, held=held.sha256, offered=record.sha256)
    if held == record and target.is_file() and hash_file(target) == (record.sha256, record.size):
        tree.write_sums(record.name)
        return Built(record, reused=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    fresh = target.with_name(f".{target.name}.new")
    _copy_checked(source.archive(record), fresh, record)
    if held is not None:
        # It is about other bytes: better an archive without a record, which is nobody's, than one with another's.
        tree.remove_build(held)
    rename_durably(fresh, target)
    write_durably(_record_path(tree, record), _record_path(source, record).read_bytes(), mode=PUBLIC)
    tree.write_sums(record.name)
    return Built(record, reused=False)


def _read_held(tree: Tree, record: BuildRecord) -> BuildRecord | None:
    try:
        return tree.read_record(_record_path(tree, record))
    except FileNotFoundError:
        return None


def _copy_checked(origin: Path, fresh: Path, record: BuildRecord) -> None:
    """Copy an archive; raise ArtifactDamaged, and leave nothing, where its bytes are not those of the record."""
    try:
        with origin.open("rb") as file, fresh.open("wb") as copy:
            os.fchmod(copy.fileno(), PUBLIC)
            found = _copy_hashed(file, copy)
            copy.flush()
            os.fsync(copy.fileno())
    except FileNotFoundError as exc:
        raise ArtifactDamaged(file=record.path, reason="the release lacks it") from exc
    if found != (record.sha256, record.size):
        fresh.unlink()
        raise ArtifactDamaged(file=record.path, reason=f"it has {found[1]} bytes with the hash {found[0]}")


def _copy_hashed(file: IO[bytes], copy: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        copy.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
