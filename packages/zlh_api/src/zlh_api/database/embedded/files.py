"""Files of the cluster, which belongs to another user where we are root: no link is followed, nothing half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from pathlib import Path

from zlh_api.database.embedded.runner import Runner


def write_owned(folder: Path, name: str, text: str, runner: Runner) -> None:
    """Write a file that the server's user owns, through no link: that user may have put one there, we may be root."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    temporary = f".{name}.tmp"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=descriptor), "w") as file:
            file.write(text)
            if runner.uid != os.geteuid():
                os.fchown(file.fileno(), runner.uid, runner.gid)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    if folder.exists():
        # Follows no link; on a kernel without that promise Python refuses, and so do we.
        shutil.rmtree(folder)


def works_in(pid: int, folder: Path) -> bool:
    """Tell whether a process has `folder` as its working folder, which the server keeps for all its life."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    except OSError:
        return False


def working_folder(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - the text is meant, not a path
    except OSError:
        return ""


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_text(path: Path) -> str:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""


def read_tail(path: Path) -> str:
    lines = [line for line in _read_text_end(path).splitlines() if re.search("FATAL|PANIC|ERROR", line)]
    return re.sub(r"^\S+ \S+ \S+ \[\d+\] ", "", lines[-1]) if lines else "its log says nothing"


def _read_text_end(path: Path, limit: int = 65536) -> str:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
