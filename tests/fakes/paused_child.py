"""The command of a real child that stands still at a defined moment: before its n-th call to the kernel for a request.

With each request of one kind it is one call later, so that whoever asks again and again meets every moment there is.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

_HOOK = """
import os, signal
from zlh_agent.files import beneath, child, opening, renaming

CALLS = ("stat", "scandir", "listdir", "mkdir", "link", "symlink", "readlink", "rename", "unlink", "rmdir",
         "copy_file_range", "read", "pread", "fstat", "fchmod", "utime")
turn = left = 0

def paused(call):
    def do(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
        return call(*arguments, **named)
    return do

for name in CALLS:
    setattr(os, name, paused(getattr(os, name)))
opening.openat2 = paused(opening.openat2)
renaming.renameat2 = beneath.renameat2 = paused(renaming.renameat2)

def counted(do):
    def ask(self, request):
        global turn, left
        if request.call == sys.argv[-1]:
            turn += 1
            left = turn
        try:
            return do(self, request)
        finally:
            left = 0
    return ask

child.FileServer._do = counted(child.FileServer._do)
"""
# Of a server that has more calls: its own way is the first.
_HOOK_ARCHIVES = """
from zlh_agent.archives import child as archives
archives.ArchiveServer._do = counted(archives.ArchiveServer._do)
"""


def paused_command(command: list[str], call: str, *, is_archives: bool = False) -> list[str]:
    """Return the command of the same child that stands still at each moment of requests of one kind."""
    at = command.index("-c") + 1
    setting, _, rest = command[at].partition("; from ")
    hook = _HOOK + (_HOOK_ARCHIVES if is_archives else "")
    return [*command[:at], f"{setting}\n{hook}\nfrom {rest}", *command[at + 1 :], call]


async def meet(pid: int, work: Coroutine[Any, Any, object], act: Callable[[], None]) -> tuple[bool, object]:
    """Do some work by a child; once that stands still, act and have it go on. Return (has it stood still, result).

    The result is what was returned, or the exception.
    """
    task = asyncio.ensure_future(work)
    has_met = False
    while not task.done():
        if not has_met and await asyncio.to_thread(_is_stopped, pid):
            await asyncio.to_thread(act)
            os.kill(pid, signal.SIGCONT)
            has_met = True
        await asyncio.wait([task], timeout=0.001)
    return has_met, task.exception() or task.result()


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T"
