"""Whether the customer's user becomes root by `sudo`: a file of sudo's own folder, there exactly while it is wanted."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from zlh_agent.workspace.errors import SudoFailed
from zlh_common.durable_files import sync_folder, write_durably

FOLDER, NAME = Path("/etc/sudoers.d"), "zlh-dev"
MODE, MAX_CHARS = 0o440, 4096
CHECK_TIMEOUT_S = 20.0
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def render_rule(user: str) -> str:
    """Return the file; raise SudoFailed for a name that would say something else there."""
    if _USER.fullmatch(user) is None:
        raise SudoFailed(f"{user!r} is no name of a user that sudo can be given to.")
    return f"# Written by the agent while sudo is wanted here; changes are lost.\n{user} ALL=(ALL:ALL) NOPASSWD: ALL\n"


def ensure_sudo(user: str, *, is_wanted: bool, scratch: Path, folder: Path = FOLDER) -> None:
    """Make it so, and leave it alone where it is; raise SudoFailed. It blocks: call in a thread."""
    target = folder / NAME
    try:
        if not is_wanted:
            _remove(target)
        elif _read(target) != (rule := render_rule(user)):
            _write(target, rule, scratch)
    except (OSError, subprocess.SubprocessError) as error:
        act = "written" if is_wanted else "taken away"
        raise SudoFailed(
            f"The rule {target} cannot be {act}: {error}. It is tried again when the agent starts."
        ) from error


def _read(target: Path) -> str | None:
    """Return the rule as sudo would take it: a file of root's of the right mode."""
    if target.is_symlink() or not target.is_file() or target.stat().st_mode & 0o777 != MODE:
        return None
    with target.open(errors="replace") as file:
        # A little more than any rule of ours: whoever is root here may have put anything in its place.
        return file.read(MAX_CHARS)


def _write(target: Path, rule: str, scratch: Path) -> None:
    """Have sudo's own program read it first: one wrong file there, and sudo works for nobody."""
    if not target.parent.is_dir():
        raise SudoFailed("This container has no sudo. Use a template that has it, or install it as root.")
    draft = scratch / "sudoers.draft"
    write_durably(draft, rule.encode(), mode=MODE)
    try:
        checked = subprocess.run(
            ["visudo", "-c", "-q", "-f", str(draft)], capture_output=True, timeout=CHECK_TIMEOUT_S, check=False
        )
        if checked.returncode:
            said = (checked.stdout + checked.stderr).decode("utf-8", "replace").strip()[-300:]
            raise SudoFailed(f"sudo refuses its own rule: {said}.")
        # The temporary file's name has a dot, so that sudo passes over it.
        write_durably(target, rule.encode(), mode=MODE, is_folder_there=True)
    finally:
        draft.unlink(missing_ok=True)


def _remove(target: Path) -> None:
    if target.is_symlink() or target.exists():
        target.unlink()
        sync_folder(target.parent)
