"""A fresh host for the control plane: a Debian with systemd, PostgreSQL and Python, as a real container."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from build_template import run_apart, shift
from lxc.guest import Guest, _made_guest
from lxc.own_host import SHIFT, own_host, remove_half_built
from zlh_common.schema.resources import Resources

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "iproute2", "procps", "ca-certificates", "openssh-client",
    # What docs/operations.md asks for.
    "python3", "python3-venv", "postgresql",
)  # fmt: skip
PLACE = Path(os.environ.get("ZLH_TEST_TEMPLATES", "/var/cache/zlh-test-templates"))


def ensure_template(debian: str) -> Path:
    """Return its root file system, made once on this machine for each list of packages; nothing of ours is in it."""
    folder = PLACE / f"control-{debian}-{hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:16]}"
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    root, ready = folder / "root", folder / "ready"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            remove_half_built(root)
            included = f"--include={','.join(PACKAGES)}"
            run_apart(["mmdebstrap", "--quiet", "--variant=minbase", included, debian, str(root)])
            for unit in ("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-journald-audit.socket"):
                (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
            (root / "etc/machine-id").write_text("")
            (root / "etc/hostname").unlink(missing_ok=True)
            (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
            shift(root, SHIFT)
            ready.write_text("")
    return root


@asynccontextmanager
async def control_host(debian: str = "bookworm") -> AsyncIterator[Guest]:
    """Lend a running one; it is gone when the block ends."""
    template = await asyncio.to_thread(ensure_template, debian)
    async with own_host(template=template) as host:
        plan = host.new_plan(Resources(memory_mib=2048, cpu=2.0))
        guest = await asyncio.to_thread(_made_guest, host, plan)
        try:
            await host.driver.ensure_created(plan, guest.warrant)
            await host.driver.ensure_closed(plan, guest.warrant)
            await host.driver.ensure_started(plan, guest.warrant)
            yield guest
        finally:
            await host.driver.ensure_destroyed(plan, guest.warrant)


def fetch_wheels(release: Path, into: Path, *, python: str = "3.11") -> None:
    """Fetch the libraries of a release, by their hashes, for a host of that Python which reaches no package index."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary=:all:", "--no-deps"]
    asked = [*pip, "--python-version", python, "--dest", str(into), "-r", str(release / "requirements.txt")]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def put_folder(guest: Guest, source: Path, target: str) -> None:
    """Copy a folder into the host, as somebody unpacks what he was sent."""
    inside = ["lxc-attach", "-P", str(guest.folder.parent), "-n", guest.folder.name, "--clear-env", "--"]
    unpack = f"mkdir -p {target} && tar -C {target} --no-same-owner -x"
    with subprocess.Popen(["tar", "-C", str(source), "-c", "."], stdout=subprocess.PIPE) as packing:
        subprocess.run([*inside, "sh", "-c", unpack], check=True, stdin=packing.stdout)
    assert packing.returncode == 0
