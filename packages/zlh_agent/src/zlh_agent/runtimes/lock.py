"""One change of a runtime at a time, whichever child makes it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_one(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of one runtime; the kernel lets go of it however this process ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The folder is the installing user's, and root locks here too: a link that was put there is not followed.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(folder / f"runtime-{name}.lock", flags, 0o600)
    try:
        if os.geteuid() == 0:
            # Made by root, it must be open to the user whose folder it is.
            owner = folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
