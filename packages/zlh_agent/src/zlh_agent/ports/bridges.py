"""Leads published ports to programs that listen on loopback or IPv6 alone, and keeps that so whatever ends meanwhile.

In a container of its own, rules of the kernel lead what comes from outside to the forwarder, which listens somewhere
else: the customer's port stays free for the customer. Under the process driver the forwarder listens at the container's
own address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from zlh_agent.ports.bridge_rules import count_losses, decide_bridges, find_crossed, rest_s
from zlh_agent.ports.diag_wire import Address
from zlh_agent.ports.forwarder import Forwarder, ForwarderLost, User
from zlh_agent.ports.listening import Listener
from zlh_agent.ports.nft_table import RulesRefused, apply_table

log = structlog.get_logger()
_BACKLOG = 1024
# So often a free port is asked for that is none of those that are published.
_PORT_TRIES = 16


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the forwarder listens for a port, by which socket, and where it leads."""

    port: int
    inode: int
    target: str


class PortBridges:
    """Which ports are led on; `want` and `note_listening` say what for."""

    def __init__(self, bind_address: str, user: str | None) -> None:
        bound = ip_address(bind_address)
        # The container's own address on a machine that it shares.
        self._address: Address | None = None if bound.is_unspecified else bound
        self._user = user
        self._published: frozenset[int] = frozenset()
        self._listeners: Sequence[Listener] = ()
        self._forwarder: Forwarder | None = None
        self._entrances: dict[int, Entrance] = {}
        # What the rules in force say, None is that there are none; and whether that is known, which it is not at first.
        self._ruled: dict[int, int] | None = None
        self._is_ruled = False
        # Ports that the forwarder may have connections of.
        self._was_led: set[int] = set()
        # Ports that could not be led on, so that each is told of once.
        self._refused: dict[int, str] = {}
        self._failures = 0
        # When the forwarder was started, how many before it have ended early, and until when there is none.
        self._started_at, self._losses, self._rests_until = 0.0, 0, 0.0
        self._changed = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None

    def want(self, published: Collection[int]) -> None:
        """Hold which ports are published from now on."""
        if self._published != frozenset(published):
            self._published = frozenset(published)
            self._changed.set()

    def note_listening(self, listeners: Sequence[Listener]) -> None:
        """Hold what listens, as a look has just found it."""
        if list(listeners) != list(self._listeners):
            self._listeners = listeners
            self._changed.set()

    def bridged(self) -> frozenset[int]:
        """Return the ports that are led on at this moment."""
        rules = self._entrances if self._address is not None else self._ruled or {}
        return frozenset(self._entrances.keys() & rules.keys())

    def sockets(self) -> frozenset[int]:
        """Return the inodes of the sockets that the forwarder listens by."""
        return frozenset(entrance.inode for entrance in self._entrances.values())

    async def cut(self, port: int) -> int:
        """End every connection of a port that is passed on; return how many."""
        forwarder = self._forwarder
        if forwarder is None or port not in self._was_led:
            return 0
        # One that is lost has taken its connections with it.
        with contextlib.suppress(ForwarderLost):
            return await forwarder.cut(port)
        return 0

    async def run(self) -> None:
        """Make it so, for ever; what fails is tried again ever more slowly."""
        if self._address is None:
            # An agent that was killed may have left rules that lead nowhere.
            self._changed.set()
        while True:
            pause = self._pause_s()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            self._changed.clear()
            before = self.bridged()
            try:
                is_whole = await self._make_so()
            except (ForwarderLost, RulesRefused, OSError) as exc:
                is_whole = False
                self._tell_refused(0, str(exc))
            self._failures = 0 if is_whole else self._failures + 1
            if is_whole:
                self._refused = {}
            if self.bridged() != before:
                self.on_change()

    async def close(self) -> None:
        """Lead nothing on any more."""
        if self._forwarder is not None:
            await self._forwarder.end()
        if self._ruled is not None:
            with contextlib.suppress(RulesRefused):
                await apply_table(None)

    def _pause_s(self) -> float | None:
        return rest_s(self._failures) or None

    async def _make_so(self) -> bool:
        """Do what is missing; tell whether all is as it should be. Raise ForwarderLost, RulesRefused, OSError."""
        if self._forwarder is not None and not self._forwarder.is_alive:
            await self._note_loss()
        led = {port: entrance.target for port, entrance in self._entrances.items()}
        wanted = decide_bridges(self._published, self._listeners, led, self._address)
        if wanted and self._forwarder is None:
            await self._start()
        if self._address is None:
            ports = {port: entrance.port for port, entrance in self._entrances.items()}
            await self._leave(find_crossed(ports, self._published))
        is_whole = await self._lead(wanted)
        # What must end does first: the kernel translates what is said of it for as long as the rules are there.
        await self._cut_unpublished()
        await self._rule({port: entrance.port for port, entrance in self._entrances.items() if port in wanted})
        await self._leave(self._entrances.keys() - wanted.keys())
        if self._forwarder is not None and not self._published:
            await self._forget()
        return is_whole

    async def _start(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            # What has come to listen on the network since is reached meanwhile.
            await self._rule({})
            raise ForwarderLost("it was ended again and again")
        self._forwarder = await Forwarder.start(await asyncio.to_thread(self._find_user), on_end=self._changed.set)
        self._started_at = now

    async def _note_loss(self) -> None:
        now = asyncio.get_running_loop().time()
        self._losses = count_losses(self._losses, now - self._started_at)
        self._rests_until = now + rest_s(self._losses)
        log.warning("ports.forwarder_lost", losses=self._losses)
        await self._forget()

    async def _lead(self, wanted: dict[int, str]) -> bool:
        """Have the forwarder lead what is wanted; a port that another has taken meanwhile is left out."""
        is_whole = True
        for port, target in wanted.items():
            entrance = self._entrances.get(port)
            assert self._forwarder is not None
            if entrance is not None:
                if entrance.target != target:
                    await self._forwarder.lead(port, target)
                    self._entrances[port] = Entrance(entrance.port, entrance.inode, target)
                continue
            try:
                listening = self._listen(port)
            except OSError as exc:
                self._tell_refused(port, str(exc))
                is_whole = False
                continue
            with listening:
                made = Entrance(listening.getsockname()[1], os.fstat(listening.fileno()).st_ino, target)
                # From here on it is seen, and known to be ours.
                self._entrances[port] = made
                self._was_led.add(port)
                await self._forwarder.lead(port, target, listening)
            log.info("port.bridged", port=port, target=target)
        return is_whole

    async def _rule(self, rules: dict[int, int]) -> None:
        wanted = rules if rules or self._was_led else None
        if self._address is not None or (self._is_ruled and wanted == self._ruled):
            return
        self._ruled, self._is_ruled = None, False
        try:
            await apply_table(wanted)
        except RulesRefused:
            # Without nft there is nothing to take away.
            if wanted is not None:
                raise
        self._ruled, self._is_ruled = wanted, True

    async def _cut_unpublished(self) -> None:
        """End all that leads to what is not published any more."""
        await self._leave(self._entrances.keys() - self._published)
        for port in sorted(self._was_led - self._published):
            assert self._forwarder is not None
            await self._forwarder.cut(port)
            self._was_led.discard(port)

    async def _leave(self, ports: Collection[int]) -> None:
        """Take no new connections of these."""
        for port in sorted(ports):
            assert self._forwarder is not None
            await self._forwarder.close_port(port)
            del self._entrances[port]
            log.info("port.not_bridged", port=port)

    async def _forget(self) -> None:
        """End the forwarder, with all that it has."""
        if self._forwarder is not None:
            await self._forwarder.end()
        self._forwarder = None
        self._entrances, self._was_led = {}, set()

    def _listen(self, port: int) -> socket.socket:
        """Return a socket at the container's own address, or for the rules at a port that is free."""
        if self._address is not None:
            return self._bind(str(self._address), port)
        for _ in range(_PORT_TRIES):
            listening = self._bind("0.0.0.0", 0)  # noqa: S104 - the rules lead to the address that was asked for
            if listening.getsockname()[1] not in self._published:
                return listening
            listening.close()
        raise OSError("every free port is published")

    @staticmethod
    def _bind(address: str, port: int) -> socket.socket:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, port))
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening

    def _find_user(self) -> User | None:
        if self._user is None:
            return None
        try:
            found = pwd.getpwnam(self._user)
        except KeyError as exc:
            raise ForwarderLost(f"there is no user {self._user}") from exc
        return found.pw_uid, found.pw_gid, ()

    def _tell_refused(self, port: int, reason: str) -> None:
        if self._refused.get(port) != reason:
            self._refused[port] = reason
            log.warning("port.cannot_be_bridged", port=port, reason=reason)
