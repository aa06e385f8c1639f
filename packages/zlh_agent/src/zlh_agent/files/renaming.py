"""Giving something a name that is free, on every file system."""

from __future__ import annotations

import errno
import os

from zlh_agent.sandbox.syscalls import renameat2

_RENAME_NOREPLACE = 1


def rename_to_free(old_folder: int, old: bytes, new_folder: int, new: bytes) -> None:
    """Rename where nothing has the new name; raise FileExistsError where something has.

    ZFS before 2.2 and NFS cannot decide that in one step: there, what somebody makes between the look and the rename
    is overwritten.
    """
    try:
        renameat2(old_folder, old, new_folder, new, _RENAME_NOREPLACE)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
    else:
        return
    try:
        os.stat(new, dir_fd=new_folder, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old, new, src_dir_fd=old_folder, dst_dir_fd=new_folder)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
