"""What starts the agent: its unit, the customer's slice and the launcher, each of the version that has proved itself.

They are replaced only by a version past its probation, each by one rename, and only where they differ: cut off between
any two, the next start goes on. It blocks: call in a thread.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import structlog

from zlh_common.durable_files import write_durably

log = structlog.get_logger()
UNITS = ("zlh-agent.service", "zlh.slice")
LAUNCHER = "launcher.py"
# How long systemd may take to look at a unit, or to read all of them anew.
LIMIT_S = 20.0
MAX_BYTES = 1024 * 1024


def place_system_files(bundle: Path, folder: Path, root: Path) -> list[str]:
    """Put what starts a version in place; return the names of what was replaced.

    `folder` is that of the bundles. Nothing is touched where one of them would not do.
    """
    places = _find_places(bundle / "system", folder, root)
    if not places or not _would_do(bundle / "system"):
        return []
    replaced = [source.name for source, target in places.items() if _replace(source, target)]
    if set(replaced) & set(UNITS) and (root / "run/systemd/system").is_dir():
        _run("systemctl", "daemon-reload")
    return replaced


def _find_places(system: Path, folder: Path, root: Path) -> dict[Path, Path]:
    units = root / "etc/systemd/system"
    places = {system / name: units / name for name in UNITS if units.is_dir()} | {system / LAUNCHER: folder / LAUNCHER}
    # The launcher last: a unit of the former version starts it in the way that it always did.
    return {source: target for source, target in places.items() if source.is_file()}


def _would_do(system: Path) -> bool:
    """Tell whether the launcher is a program and the unit one that systemd takes."""
    try:
        if (system / LAUNCHER).is_file():
            compile((system / LAUNCHER).read_bytes(), LAUNCHER, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError) as error:
        log.warning("agent.system_files_refused", file=LAUNCHER, error=str(error))
        return False
    for unit in filter(Path.is_file, (system / name for name in UNITS)):
        if shutil.which("systemd-analyze") and not _run(
            "systemd-analyze", "verify", "--recursive-errors=no", str(unit)
        ):
            return False
    return True


def _run(*command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("agent.system_command_failed", command=command[0], error=str(error))
        return False
    if done.returncode:
        log.error("agent.system_command_failed", command=command[0], error=done.stderr.strip()[-400:])
    return done.returncode == 0


def _replace(source: Path, target: Path) -> bool:
    """Have the target be the source; tell whether it was another file."""
    content = source.read_bytes()[:MAX_BYTES]
    if target.is_file() and not target.is_symlink() and target.read_bytes() == content:
        return False
    write_durably(target, content, mode=0o644)
    log.info("agent.system_file_placed", file=target.name)
    return True
