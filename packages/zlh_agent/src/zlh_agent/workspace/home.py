"""Home and workspace of the customer's user: made where they are missing, and never taken from somebody else.

Root makes the home alone, in a folder that is root's own. What is inside belongs to the customer, who may have put a
link anywhere: the workspace is made by a child that is the customer.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Literal

from zlh_agent.workspace.errors import WorkspaceUnusable
from zlh_agent.workspace.folder_rules import Lying, find_fault, tell_fault
from zlh_agent.workspace.login_environment import Account

TIMEOUT_S = 30.0
UMASK = 0o022
# Of PAM: makes a home from the system's skeleton, as a first login does.
MAKER = "mkhomedir_helper"


def ensure_home(account: Account, workspace: Path) -> bool:
    """Have both there, of this user; return whether there was no home before. Raises WorkspaceUnusable; blocks."""
    home = Path(account.home)
    is_missing = look(home) is None
    if is_missing:
        _make_home(account, home)
    _refuse_fault(home, account)
    child = subprocess.run(
        [sys.executable, "-I", "-m", "zlh_agent.workspace.home_child", str(workspace)],
        check=False,
        capture_output=True,
        timeout=TIMEOUT_S,
        cwd="/",
        env={},
        user=account.uid,
        group=account.gid,
        extra_groups=os.getgrouplist(account.name, account.gid),
        umask=UMASK,
    )
    _refuse_fault(workspace, account)
    if child.returncode:
        said = child.stderr.decode("utf-8", "replace").strip()[-300:]
        raise WorkspaceUnusable(f"{workspace} cannot be used by {account.name}: {said}")
    return is_missing


def look(path: Path) -> Lying | None:
    """Return what lies at a path, without following it."""
    try:
        status = path.lstat()
    except OSError:
        return None
    mode = status.st_mode
    kind: Literal["folder", "link", "other"] = "link" if stat.S_ISLNK(mode) else "other"
    return Lying("folder" if stat.S_ISDIR(mode) else kind, status.st_uid, is_open=mode & 0o700 == 0o700)


def _refuse_fault(path: Path, account: Account) -> None:
    lying = look(path)
    if fault := find_fault(lying, account.uid):
        said = tell_fault(str(path), fault, user=account.name, uid=lying.uid if lying else None)
        raise WorkspaceUnusable(said)


def _make_home(account: Account, home: Path) -> None:
    above = home.parent.lstat()
    if not stat.S_ISDIR(above.st_mode) or above.st_uid != os.geteuid() or above.st_mode & 0o022:
        raise WorkspaceUnusable(f"{home} is missing, and {home.parent} is not root's alone, so it is not made there.")
    try:
        subprocess.run([MAKER, account.name, f"{UMASK:04o}"], check=False, capture_output=True, timeout=TIMEOUT_S)
    except FileNotFoundError:
        home.mkdir(mode=0o755)
        os.chown(home, account.uid, account.gid, follow_symlinks=False)
