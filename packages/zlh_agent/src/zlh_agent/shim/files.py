"""The few files of a shim, written and removed without pathlib, which it cannot afford."""

from __future__ import annotations

import errno
import os

from zlh_agent.shim.log import note


def replace(path: str, text: str, folder: int | None = None) -> None:
    """Write a record so that a reader sees the old or the new one, whole."""
    try:
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
        os.rename(f"{path}.new", path, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as exc:
        note("record.not_written", level="ERROR", path=path, error=str(exc))


def remove(path: str, folder: int | None = None) -> None:
    """Remove a file, whether it is there or not."""
    try:
        os.unlink(path, dir_fd=folder)
    except OSError as exc:
        if exc.errno != errno.ENOENT:
            note("record.not_removed", level="WARN", path=path, error=str(exc))


def sync(*paths: str) -> None:
    """Bring files and folders to the disk."""
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            note("record.not_synced", level="WARN", path=path, error=str(exc))
            continue
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
