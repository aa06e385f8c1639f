"""Puts a finished tree in the place of another one of the same name, so that there is always one or the other.

The kernel exchanges both in one step. A file system that cannot (some network and ZFS ones) has them renamed one after
the other, the old one to a name from which `undo_half_exchange` brings it back after a crash between the two.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from zlh_agent.runtimes.store import REPLACED_PREFIX
from zlh_agent.sandbox.syscalls import renameat2
from zlh_common.durable_files import rename_durably, sync_folder

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def put_in_place(tree: Path, target: Path, *, attic: Path) -> None:
    """Give `tree` the name `target`, durably; what had that name lies in the folder `attic` then."""
    if not os.path.lexists(target):
        rename_durably(tree, target)
        return
    try:
        renameat2(_AT_FDCWD, os.fsencode(tree), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE)
    except OSError as exc:
        if exc.errno not in _UNSUPPORTED:
            raise
        _rename_twice(tree, target, attic)
    sync_folder(target.parent)


def _rename_twice(tree: Path, target: Path, attic: Path) -> None:
    aside = target.with_name(f"{REPLACED_PREFIX}{target.name}")
    rename_durably(target, aside)
    rename_durably(tree, target)
    aside.rename(attic / "replaced")
