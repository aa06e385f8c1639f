"""Ties a process to its parent: what an install has started never works on when nobody waits for it any more."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent, which has this pid, ends in whatever way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the call above took hold.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def tied_to_us() -> Callable[[], None]:
    """Return what a child of ours runs between fork and exec. For programs without threads alone."""
    ours = os.getpid()
    return lambda: die_with(ours)
