"""The real code-server, as its shipped recipe makes it: built once for a checkout, for all workers and runs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from fakes.runtime_shop import RuntimeShop
from zlh_api.artifacts.model import BuildRecord
from zlh_common.runtime_choice import this_platform

ROOT = Path(__file__).parents[2]
NAME, VERSION = "code-server", "4.139.1"
# The same archive under the number of a release that there is not, to go up to.
NEXT_VERSION = "4.139.99"
_RECIPE = ROOT / f"packages/zlh_api/src/zlh_api/artifacts/building/recipes/{NAME}-{VERSION}.toml"
# On a machine that does nothing else it takes less than two minutes.
BUILD_LIMIT_S = 840


def build_code_server() -> Path:
    """Return the archive; its record lies beside it. Whoever comes while it is built waits for it."""
    recipe = hashlib.sha256(_RECIPE.read_bytes()).hexdigest()[:16]
    folder = ROOT / ".pytest_cache/d" / NAME / recipe
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"archives/{NAME}/{NAME}-{VERSION}-{this_platform()}.tar.zst"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _record_of(archive).exists():
            build = [sys.executable, "-m", "zlh_api", "artifacts", "build", "--dir", str(folder), f"{NAME}-{VERSION}"]
            done = subprocess.run(build, check=False, capture_output=True, text=True, timeout=BUILD_LIMIT_S)
            assert done.returncode == 0, done.stdout + done.stderr
    return archive


def code_server_shop(folder: Path, archive: Path) -> RuntimeShop:
    """Return a signed tree that offers it as two versions."""
    shop = RuntimeShop(folder)
    record = msgspec.json.decode(
        archive.with_name(archive.name.replace(".tar.zst", ".json")).read_bytes(), type=BuildRecord
    )
    for version in (VERSION, NEXT_VERSION):
        target = shop.archive(version, NAME)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(archive, target)
        except OSError:
            shutil.copyfile(archive, target)
        offered = msgspec.structs.replace(record, version=version, path=shop.path(version, NAME))
        _record_of(target).write_bytes(msgspec.json.encode(offered))
    shop.publish()
    return shop


def _record_of(archive: Path) -> Path:
    return archive.with_name(archive.name.replace(".tar.zst", ".json"))
