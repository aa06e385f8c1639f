"""Which ports are listened on, and since when? Pure.

The kernel tells nobody that a program begins to listen, so its list is read again and again. What is new is shown at
once; what has changed a moment ago must first hold still, so a port that flaps is a few changes and not hundreds.

Invariants: a port that is listened on at two looks in a row is shown, at the latest `SETTLES_S` after it last changed;
one that is gone at two looks in a row is not.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv6Address

from zlh_agent.ports.diag_wire import Address, Connection
from zlh_common.schema.ports import ListeningPort, PortKind, PortReach

# So long a port that has just come or gone must stay as it is before that is told.
SETTLES_S = 2.0
# Looks in a row at which a port is missing before it is gone: a server that restarts is no change.
MISSES = 2
# Of one container; whoever listens on more has the lowest told.
MOST_PORTS = 64
MOST_CHARS = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens."""

    pid: int
    name: str
    command: str
    directory: str | None


@dataclass(frozen=True, slots=True)
class Listener:
    """One port, with every socket that listens on it."""

    port: int
    addresses: tuple[Address, ...]
    inodes: frozenset[int]
    # It takes nothing of IPv4 where it is bound to all addresses of IPv6.
    is_v6_only: bool = False


@dataclass(slots=True)
class _Seen:
    listener: Listener
    since: datetime
    # By the monotonic clock: when it last came or went.
    changed_at: float
    is_shown: bool
    misses: int = 0


@dataclass(slots=True)
class PortTable:
    """What was seen of each port until now."""

    _ports: dict[int, _Seen] = field(default_factory=dict)

    def take(self, found: Collection[Listener], *, at: float, now: datetime) -> bool:
        """Take one look; tell whether what is shown has changed."""
        shown = self.shown()
        here = {listener.port: listener for listener in found}
        for port, listener in here.items():
            self._note_here(port, listener, at, now)
        for port in self._ports.keys() - here.keys():
            self._note_missing(port, at)
        return self.shown() != shown

    @property
    def is_settled(self) -> bool:
        """Whether another look that finds the same would change nothing."""
        return all(seen.is_shown and seen.misses == 0 for seen in self._ports.values())

    def shown(self) -> dict[int, tuple[Listener, datetime]]:
        """Return the ports that are told, with the time since which they are there."""
        return {port: (seen.listener, seen.since) for port, seen in sorted(self._ports.items()) if seen.is_shown}

    def _note_here(self, port: int, listener: Listener, at: float, now: datetime) -> None:
        seen = self._ports.get(port)
        if seen is None:
            self._ports[port] = _Seen(listener, now, at, is_shown=True)
            return
        seen.misses = 0
        if seen.is_shown:
            seen.listener = listener
        elif at - seen.changed_at >= SETTLES_S:
            self._ports[port] = _Seen(listener, now, at, is_shown=True)

    def _note_missing(self, port: int, at: float) -> None:
        seen = self._ports[port]
        seen.misses += 1
        if seen.is_shown and seen.misses >= MISSES:
            seen.is_shown, seen.changed_at = False, at
        elif not seen.is_shown and seen.misses == 1:
            # It came back and went again before it was told.
            seen.changed_at = at
        elif not seen.is_shown and at - seen.changed_at >= SETTLES_S:
            del self._ports[port]


def group_listeners(sockets: Iterable[Connection]) -> list[Listener]:
    """Return one listener for each port."""
    ports: dict[int, list[Connection]] = {}
    for each in sockets:
        ports.setdefault(each.port, []).append(each)
    return [
        Listener(
            port,
            tuple(sorted({_plain(each.local) for each in held}, key=lambda address: (address.version, int(address)))),
            frozenset(each.inode for each in held),
            all(each.is_v6_only for each in held if each.local.is_unspecified and each.local.version == 6),
        )
        for port, held in sorted(ports.items())
    ]


def select_customers(
    sockets: Iterable[Connection], *, platform_ports: Container[int], platform_sockets: Container[int]
) -> list[Connection]:
    """Return the sockets that are none of the platform's own."""
    return [
        each for each in sockets if each.port and each.port not in platform_ports and each.inode not in platform_sockets
    ]


def reach_of(listener: Listener, address: Address | None) -> PortReach:
    """Return from where a port is reached; `address` is the container's own on a machine that it shares."""
    if address is not None and address in listener.addresses:
        return PortReach.NETWORK
    if any(_takes_all(each, listener) for each in listener.addresses):
        return PortReach.NETWORK if address is None else PortReach.SHARED
    # Nobody comes from outside by IPv6.
    if address is None and any(each.version == 4 and not each.is_loopback for each in listener.addresses):
        return PortReach.NETWORK
    return PortReach.LOOPBACK


def _takes_all(address: Address, listener: Listener) -> bool:
    return address.is_unspecified and not (address.version == 6 and listener.is_v6_only)


def probe_address(listener: Listener, address: Address | None) -> Address:
    """Return at which address a port is asked what it speaks."""
    if address is not None and address in listener.addresses:
        return address
    first = listener.addresses[0]
    if not first.is_unspecified:
        return first
    return type(first)("127.0.0.1" if first.version == 4 else "::1")


def tell(
    listener: Listener,
    since: datetime,
    holder: Holder | None,
    *,
    kind: PortKind,
    address: Address | None,
    is_bridged: bool,
) -> ListeningPort:
    """Return what the report says of a port."""
    reach = reach_of(listener, address)
    return ListeningPort(
        port=listener.port,
        addresses=tuple(map(str, listener.addresses)),
        reach=PortReach.BRIDGED if is_bridged and reach is PortReach.LOOPBACK else reach,
        kind=kind,
        pid=holder.pid if holder else None,
        process=holder.name[:MOST_CHARS] if holder else "",
        command=holder.command[:MOST_CHARS] if holder else "",
        directory=holder.directory[:MOST_CHARS] if holder and holder.directory else None,
        since=since,
    )


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
