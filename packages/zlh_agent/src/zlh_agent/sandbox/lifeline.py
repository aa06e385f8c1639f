"""Ties a process to its parent: what a child has started never works on when nobody waits for it any more."""

from __future__ import annotations

import os

from zlh_agent.sandbox.syscalls import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent, which has this pid, ends in whatever way.

    The kernel means the *thread* that has started it, and forgets the wish when the process becomes another user.
    """
    prctl(PR_SET_PDEATHSIG, _signal.SIGKILL)
    # The parent may have died before the call above took hold.
    if os.getppid() != parent:
        os.kill(os.getpid(), _signal.SIGKILL)
