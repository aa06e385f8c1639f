"""The child that ends connections of other processes of its own user, where nobody may administer the network.

It takes a copy of each socket out of the process that has it (`pidfd_getfd`), and shuts that down. The kernel allows it
wherever the same user may trace the process. Inodes of sockets are its arguments; those that it has ended, its output.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from zlh_agent.sandbox.syscalls import syscall

PIDFD_GETFD = 438


def main() -> None:
    """End the connections whose inodes are named."""
    wanted = {f"socket:[{int(inode)}]": inode for inode in sys.argv[1:]}
    for pid, number, link in _find(frozenset(wanted)):
        if link not in wanted:
            continue
        with contextlib.suppress(OSError):
            _shut(pid, number)
            sys.stdout.write(f"{wanted.pop(link)}\n")


def _find(links: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """Yield process, descriptor and link of every open socket among these that we may see."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for entry in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    link = str(entry.readlink())
                    if link in links:
                        yield int(process.name), int(entry.name), link


def _shut(pid: int, number: int) -> None:
    process = os.pidfd_open(pid)
    try:
        with socket.socket(fileno=syscall(PIDFD_GETFD, process, number, 0)) as copy:
            copy.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(process)


if __name__ == "__main__":
    main()
