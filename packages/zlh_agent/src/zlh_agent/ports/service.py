"""Ends what is connected to a port of the container from outside of it.

As root of a container the agent has the kernel end them (`SOCK_DESTROY`). Under the `process` driver it is an ordinary
user on a machine that it shares: then it shuts the sockets of its own user's programs, where that user may trace them,
and says so where not.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import closing
from ipaddress import ip_address

import psutil
import structlog

from zlh_agent.ports.diag_wire import Address, Connection, is_to_be_cut
from zlh_agent.ports.kernel import KernelList
from zlh_common.errors import ZlhError
from zlh_common.schema.ports import PortCut

log = structlog.get_logger()
# What comes while others are ended is ended too; who comes more often than this is let in by somebody.
ROUNDS = 3
CHILD_S = 5.0
# Of arguments of the child, well below what a command line may hold.
MOST_AT_ONCE = 1000
_WHY_NOT = "the agent may neither administer the network nor trace the programs that hold them"
_MAY_NOT = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP})


class CutNotPossible(ZlhError):
    """Connections to the port stay open, since this agent may not end them."""

    code, status = "cut_not_possible", 409

    def __init__(self, *, port: int, left: int, reason: str) -> None:
        super().__init__(
            f"{left or 'Some'} connections to port {port} may stay open until they or the container end: {reason}.",
            port=port,
            left=left,
        )


class PortService:
    """What is connected to the ports of one container."""

    def __init__(self, bind_address: str, cut_bridged: Callable[[int], Awaitable[int]]) -> None:
        # Ends what is passed on to programs of loopback, both halves of each.
        self._cut_bridged = cut_bridged
        bound = ip_address(bind_address)
        # Where the agent has an address of its own on a machine that others are on as well, that alone is ours.
        self._address: Address | None = None if bound.is_unspecified else bound

    async def cut(self, port: int) -> PortCut:
        """End all connections to a port that lead out of the container; raise CutNotPossible where some stay."""
        ended = 0
        for _ in range(ROUNDS):
            bridged = await self._cut_bridged(port)
            done, left = await self._cut_once(port)
            done += bridged
            ended += done
            if left:
                shut = await _shut(left)
                if shut < len(left):
                    raise CutNotPossible(port=port, left=len(left) - shut, reason=_WHY_NOT)
                ended += shut
                break
            if not done:
                break
        log.info("port.cut", port=port, connections=ended)
        return PortCut(cut=ended)

    async def _cut_once(self, port: int) -> tuple[int, list[Connection]]:
        try:
            return await asyncio.to_thread(self._cut, port)
        except OSError as exc:
            raise CutNotPossible(port=port, left=0, reason=f"the kernel does not list them ({exc})") from exc

    def _cut(self, port: int) -> tuple[int, list[Connection]]:
        """End what we may; return how many that were, and those that we may not end."""
        own = _own_addresses() if self._address is None else frozenset()
        with closing(KernelList()) as kernel:
            found = [each for each in kernel.fetch(port) if is_to_be_cut(each, own, self._address)]
            done = 0
            for at, each in enumerate(found):
                try:
                    done += kernel.end(each)
                except OSError as exc:
                    if exc.errno not in _MAY_NOT:
                        raise
                    return done, found[at:]
            return done, []


def _own_addresses() -> Collection[Address]:
    families = {socket.AF_INET, socket.AF_INET6}
    return frozenset(
        ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families
    )


async def _shut(connections: Sequence[Connection]) -> int:
    """Shut those that programs of our own user hold; return how many."""
    inodes = [str(each.inode) for each in connections if each.inode][:MOST_AT_ONCE]
    if not inodes:
        return 0
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "zlh_agent.ports.shut_child", *inodes,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(CHILD_S):
            said, _ = await child.communicate()
    except TimeoutError:
        return 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return len(said.split())
