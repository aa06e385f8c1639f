"""Which ports the container's programs listen on, kept as of a second ago at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from ipaddress import ip_address

import structlog

from zlh_agent.ports.diag_wire import Address
from zlh_agent.ports.holders import find_holders
from zlh_agent.ports.kernel import ListeningList, read_listening
from zlh_agent.ports.listening import (
    MOST_PORTS,
    Holder,
    Listener,
    PortTable,
    group_listeners,
    probe_address,
    select_customers,
    tell,
)
from zlh_agent.ports.probe import find_kind
from zlh_common.addons import ADDON_PORTS
from zlh_common.clock import Clock
from zlh_common.schema.ports import ListeningPort, PortKind

log = structlog.get_logger()
# The kernel has no event for a program that begins to listen. A look is nearly nothing but waking up for it (ADR 19).
LOOK_S = 0.9
# A process that has just been started may not be listed yet as a child of anybody.
SEARCHES_S = 2.0
# Where the kernel's list cannot be read at all.
RETRY_S = 60.0
PROBES_AT_ONCE = 4
# A server that has just begun to listen may take a moment until it answers.
PROBES, PROBE_AGAIN_S = 3, 2.0


class PortWatch:
    """What listens; `ports` is what the report says of it."""

    def __init__(self, clock: Clock, *, bind_address: str, own_port: int) -> None:
        bound = ip_address(bind_address)
        # On a machine that others share, the container's own address; then what descends from `roots` is told alone.
        self._address: Address | None = None if bound.is_unspecified else bound
        self.roots: Callable[[], Collection[int]] = tuple
        # Sockets of the platform, which are none of the container's; and which ports are led to loopback.
        self.own_sockets: Callable[[], frozenset[int]] = frozenset
        self.bridged: Callable[[], frozenset[int]] = frozenset
        self._clock = clock
        self._platform_ports = self._own_ports = frozenset({own_port})
        self._table = PortTable()
        self._holders: dict[int, Holder] = {}
        self._kinds: dict[frozenset[int], PortKind] = {}
        self._probes: dict[frozenset[int], asyncio.Task[None]] = {}
        self._seats = asyncio.Semaphore(PROBES_AT_ONCE)
        self._answers: tuple[bytes, ...] = ()
        self._found: list[Listener] = []
        # Whether there are sockets of which nobody knows who holds them, and until when that is looked for again.
        self._has_unheld = False
        self._searches_until = 0.0
        self.on_change: Callable[[], None] = lambda: None
        # Told what every look that finds something new has found, before any of it is settled.
        self.on_look: Callable[[Sequence[Listener]], None] = lambda _: None

    def ports(self) -> tuple[ListeningPort, ...]:
        """Return what is listened on, the lowest ports first and at most 64."""
        shown, bridged = list(self._table.shown().values())[:MOST_PORTS], self.bridged()
        return tuple(
            tell(
                listener, since, self._holder(listener),
                kind=self._kind(listener), address=self._address, is_bridged=listener.port in bridged,
            )
            for listener, since in shown
        )  # fmt: skip

    def hide(self, addons: Iterable[str]) -> None:
        """Tell nothing of the ports of these addons from now on."""
        ports = self._own_ports.union(ADDON_PORTS[addon] for addon in addons if addon in ADDON_PORTS)
        if ports != self._platform_ports:
            self._platform_ports = ports
            # The next look reads everything.
            self._answers = ()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                with closing(ListeningList()) as kernel:
                    while True:
                        await self._look(kernel)
                        await asyncio.sleep(LOOK_S)
            except OSError as exc:
                log.warning("ports.not_listed", error=str(exc), retry_in_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """End the questions that are under way."""
        for probe in self._probes.values():
            probe.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)

    async def _look(self, kernel: ListeningList) -> None:
        answers, now = kernel.fetch(), self._clock.monotonic()
        is_new = answers != self._answers
        if is_new:
            self._searches_until = now + SEARCHES_S
        is_searching = self._has_unheld and now <= self._searches_until
        if not (is_new or is_searching) and self._table.is_settled:
            return
        if is_new or is_searching:
            self._found = await self._read(answers)
            self._answers = answers
            self.on_look(self._found)
        if self._table.take(self._found, at=self._clock.monotonic(), now=self._clock.now()):
            self._forget()
            self._begin_probes()
            self.on_change()

    async def _read(self, answers: tuple[bytes, ...]) -> list[Listener]:
        sockets = select_customers(
            read_listening(answers),
            platform_ports=self._platform_ports,
            platform_sockets=self.own_sockets(),
        )
        inodes = frozenset(each.inode for each in sockets)
        known = {inode: holder for inode, holder in self._holders.items() if inode in inodes}
        new = inodes - known.keys()
        roots = None if self._address is None else self.roots()
        self._holders = known | (await asyncio.to_thread(find_holders, new, roots) if new else {})
        self._has_unheld = not inodes <= self._holders.keys()
        # On a machine that is shared, others may listen on the same port at another address.
        return group_listeners(each for each in sockets if self._address is None or each.inode in self._holders)

    def _forget(self) -> None:
        here = {listener.inodes for listener, _ in self._table.shown().values()}
        self._kinds = {inodes: kind for inodes, kind in self._kinds.items() if inodes in here}
        for inodes in self._probes.keys() - here:
            self._probes.pop(inodes).cancel()

    def _begin_probes(self) -> None:
        for listener, _ in list(self._table.shown().values())[:MOST_PORTS]:
            if listener.inodes not in self._kinds and listener.inodes not in self._probes:
                self._probes[listener.inodes] = asyncio.create_task(self._probe(listener))

    async def _probe(self, listener: Listener) -> None:
        """Ask until there is an answer, a few times at most."""
        address = probe_address(listener, self._address)
        kind = PortKind.UNKNOWN
        for turn in range(PROBES):
            if turn:
                await asyncio.sleep(PROBE_AGAIN_S)
            async with self._seats:
                kind = await find_kind(address, listener.port)
            if kind in {PortKind.HTTP, PortKind.HTTPS}:
                break
        self._kinds[listener.inodes] = kind
        del self._probes[listener.inodes]
        self.on_change()

    def _holder(self, listener: Listener) -> Holder | None:
        return _first(listener, self._holders)

    def _kind(self, listener: Listener) -> PortKind:
        return self._kinds.get(listener.inodes, PortKind.UNKNOWN)


def _first(listener: Listener, holders: Mapping[int, Holder]) -> Holder | None:
    """Return who is told of a port that several sockets listen on: whoever began first."""
    found = [holders[inode] for inode in listener.inodes if inode in holders]
    return min(found, key=lambda holder: holder.pid, default=None)
