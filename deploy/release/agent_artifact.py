"""Packs a bundle of the agent as an artifact of the tree that `zlh-api artifacts` keeps: an archive and its record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zlh_api.artifacts.building.layout_rules import TreeEntry, arrange
from zlh_api.artifacts.building.repack import Packed, pack_tree
from zlh_api.artifacts.model import BuildRecord, render_stem
from zlh_api.artifacts.tree import ARCHIVE_SUFFIX
from zlh_common.schema.agent_update import AGENT_OFFER

# It leads out of the bundle, which nothing in an archive may; whoever unpacks makes it.
LEFT_OUT = "bin/python3"


def pack_agent(bundle: Path, tree: Path, *, version: str, platform: str, lock: Path) -> BuildRecord:
    """Write archive and record of a bundle below `tree`, in which no other version is; return the record.

    `lock` holds what others wrote of it, so its SHA-256 is the source's.
    """
    stem = render_stem(AGENT_OFFER, version, 1, platform)
    archive = tree / "archives" / AGENT_OFFER / f"{stem}{ARCHIVE_SUFFIX}"
    archive.parent.mkdir(parents=True, exist_ok=True)
    packed = pack_tree(
        list_bundle(bundle),
        archive,
        open_file=lambda name: (bundle / name).open("rb"),
        read_text=str.encode,
    )
    path = str(archive.relative_to(tree))
    source_sha256 = hashlib.sha256(lock.read_bytes()).hexdigest()
    record = render_record(packed, version=version, platform=platform, path=path, source_sha256=source_sha256)
    archive.with_name(f"{stem}.json").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    return record


def list_bundle(bundle: Path) -> list[TreeEntry]:
    """Return the entries of the archive, sorted; raise LayoutWrong for one that no agent takes."""
    return arrange(_entries(bundle))


def _entries(bundle: Path) -> Iterator[TreeEntry]:
    for path in bundle.rglob("*"):
        name = str(path.relative_to(bundle))
        if name == LEFT_OUT:
            continue
        if path.is_symlink():
            yield TreeEntry(name, "link", str(path.readlink()))
        elif path.is_file():
            status = path.stat()
            yield TreeEntry(name, "file", name, status.st_size, bool(status.st_mode & 0o100))


def render_record(packed: Packed, *, version: str, platform: str, path: str, source_sha256: str) -> BuildRecord:
    """Return what the catalog will say of an archive."""
    return BuildRecord(
        kind="agent",
        name=AGENT_OFFER,
        title="ZLH agent",
        version=version,
        revision=1,
        edition=None,
        # The newest one is.
        default=False,
        channel="stable",
        upstream="",
        licence="LicenseRef-ZLH",
        bin=("bin",),
        environment={},
        smoke_test=("bin/zlh-agent", "--version"),
        smoke_expect=version,
        platform=platform,
        path=path,
        size=packed.size,
        unpacked_size=packed.unpacked_size,
        entries=packed.entries,
        sha256=packed.sha256,
        source="requirements.lock",
        source_sha256=source_sha256,
        recipe_sha256=source_sha256,
    )
