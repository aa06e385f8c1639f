"""Installed versions as the install child leaves them, without an install."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from zlh_agent.runtimes.checking.comparison import render_file
from zlh_agent.runtimes.model import FILES_NAME, RECORD_FORMAT, RECORD_NAME, InstallRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def lay_out(folder: Path, name: str, version: str, changes: Mapping[str, object] | None = None) -> Path:
    """Make `<folder>/<name>/<version>` with one program and a link to it; `changes` are fields of its record."""
    tree = folder / name / version
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / name).write_text(version)
    (tree / "bin" / name).chmod(0o755)
    (tree / "bin/also").symlink_to(name)
    (tree / "share").mkdir()
    (tree / "share/data").write_text("x" * 1000)
    write_list(tree, list_tree(tree), changes)
    return tree


def list_tree(tree: Path) -> dict[str, str]:
    """Return the list of the files of a tree."""
    listed = {}
    for path in sorted(tree.rglob("*")):
        if path.is_symlink():
            listed[str(path.relative_to(tree))] = f"-> {path.readlink()}"
        elif path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            listed[str(path.relative_to(tree))] = render_file(digest, path.stat().st_mode)
    return listed


def write_list(tree: Path, listed: Mapping[str, str], changes: Mapping[str, object] | None = None) -> None:
    """Put list and record into a tree."""
    raw = msgspec.json.encode(listed)
    (tree / FILES_NAME).write_bytes(raw)
    record = InstallRecord(
        format=RECORD_FORMAT, name=tree.parent.name, version=tree.name, sha256="0" * 64, size=2000, source="wheel:x",
        catalog_published_at=NOW, installed_at=NOW, bin=("bin",), environment={},
        files_sha256=hashlib.sha256(raw).hexdigest(),
    )  # fmt: skip
    record = msgspec.structs.replace(record, **(changes or {}))
    (tree / RECORD_NAME).write_bytes(msgspec.json.encode(record))
