"""Archives that shipped recipes make of their real sources: built once for a checkout, for all workers and runs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zlh_api.artifacts.building.recipes import SHIPPED
from zlh_api.artifacts.model import BuildRecord
from zlh_common.runtime_choice import this_platform

ROOT = Path(__file__).parents[2]


def build_archive(name: str, version: str, *, limit_s: float) -> Path:
    """Return the archive; its record lies beside it. Whoever comes while it is built waits for it."""
    recipe = hashlib.sha256((SHIPPED / f"{name}-{version}.toml").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".pytest_cache/d" / name / recipe
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"archives/{name}/{name}-{version}-{this_platform()}.tar.zst"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record_of(archive).exists():
            build = [sys.executable, "-m", "zlh_api", "artifacts", "build", "--dir", str(folder), f"{name}-{version}"]
            done = subprocess.run(build, check=False, capture_output=True, text=True, timeout=limit_s)
            assert done.returncode == 0, done.stdout + done.stderr
    return archive


@contextmanager
def archives_in_common(tree: Path, labels: Sequence[str]) -> Iterator[None]:
    """Have a tree hold what another platform has packed of these recipes, while a platform starts that would pack them.

    The first of a checkout packs them itself, and leaves them to the others; whoever comes meanwhile waits for it.
    Each has copies, since tests spoil theirs.
    """
    folder = ROOT / ".pytest_cache/d/platform" / _digest_of_packing(labels)
    folder.mkdir(parents=True, exist_ok=True)
    kept, part = folder / "archives", folder / "archives.part"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_first := not kept.exists():
            shutil.rmtree(part, ignore_errors=True)
        else:
            fcntl.flock(lock, fcntl.LOCK_UN)
            shutil.copytree(kept, tree / "archives")
        yield
        if is_first:
            shutil.copytree(tree / "archives", part)
            part.rename(kept)


def _digest_of_packing(labels: Sequence[str]) -> str:
    """Return what changes with the recipes, and with the code that packs them: what it makes then is to be tried."""
    recipes = [SHIPPED / f"{label}.toml" for label in labels]
    digest = hashlib.sha256()
    for path in (*recipes, *sorted(SHIPPED.parent.rglob("*.py"))):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def offer_archive_as(archive: Path, version: str, tree: Path) -> None:
    """Have a tree hold an archive as if it were that of another version; whoever publishes the tree then offers it."""
    record = msgspec.json.decode(record_of(archive).read_bytes(), type=BuildRecord)
    path = f"archives/{record.name}/{record.name}-{version}-{this_platform()}.tar.zst"
    target = tree / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(archive, target)
    except OSError:
        shutil.copyfile(archive, target)
    offered = msgspec.structs.replace(record, version=version, path=path, default=version == record.version)
    record_of(target).write_bytes(msgspec.json.encode(offered))


def record_of(archive: Path) -> Path:
    """Return where the record of an archive lies."""
    return archive.with_name(archive.name.replace(".tar.zst", ".json"))
