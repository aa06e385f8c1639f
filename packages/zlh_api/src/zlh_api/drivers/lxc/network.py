"""The bridge and the tables of nftables on this host: made, looked at as a whole, and put back."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from zlh_api.drivers.lxc.host import Host
from zlh_api.drivers.lxc.model import HostUnready, LxcSettings, bridge_mac
from zlh_api.drivers.lxc.network_rules import (
    Listing,
    Pin,
    find_trouble,
    parse_listing,
    render_pin,
    render_tables,
    render_unpin,
)
from zlh_api.drivers.port import GuestFailed, Right

INTERFACES = Path("/sys/class/net")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# What comes to the addresses that a bridge keeps for itself goes the way of all frames, through our rules, where the
# kernel allows it; else it would come to this host past the bridge, and could take another's place in its table.
BRIDGE_FILES = {"group_fwd_mask": 0xFFF8, "stp_state": 0}


class Network:
    """What all guests of this driver share."""

    def __init__(self, settings: LxcSettings, host: Host) -> None:
        self._settings = settings
        self._host = host
        self._rules: tuple[str, ...] | None = None

    async def ensure_bridge(self, right: Right) -> None:
        """Have the bridge up with its address; raise HostUnready where a stranger has its name."""
        settings, bridge = self._settings, self._settings.bridge
        place = INTERFACES / bridge
        address = f"{settings.gateway}/{settings.block.prefixlen}"
        is_there = await asyncio.to_thread(place.exists)
        if is_there and not await asyncio.to_thread((place / "bridge").exists):
            raise HostUnready(f"{bridge} is an interface and no bridge; choose another with lxc.bridge")
        own = await self._find_addresses()
        if not is_there:
            # An address of its own, or it would take another with each guest that comes and goes, which guests lose.
            await self._run(right, "ip", "link", "add", bridge, "address", bridge_mac(bridge), "type", "bridge")
        if await asyncio.to_thread(_has_ipv6, bridge):
            # It has none, and hears none.
            await self._host.act(right, "Closing IPv6 of the bridge", _switch_ipv6_off, bridge)
        for name in await asyncio.to_thread(_find_other_files, bridge):
            await self._host.act(right, "Keeping the bridge to its rules", _write_bridge_file, bridge, name)
        if address not in own:
            await self._run(right, "ip", "address", "replace", address, "dev", bridge)
        if not await asyncio.to_thread(_is_up, bridge):
            await self._run(right, "ip", "link", "set", bridge, "up")
        if settings.egress == "internet" and (await asyncio.to_thread(FORWARDING.read_text)).strip() != "1":
            raise HostUnready(
                'lxc.egress = "internet" needs net.ipv4.ip_forward = 1 (sysctl), which makes a router of this host: '
                "see that its other networks have their own rules"
            )

    async def _find_addresses(self) -> list[str]:
        """Return the bridge's own addresses; raise HostUnready where another network of this host meets the block."""
        shown = await self._host.ask("ip", "-j", "-4", "address", "show")
        own = []
        for interface in json.loads(shown.out):
            for entry in interface.get("addr_info", ()):
                address = f"{entry['local']}/{entry['prefixlen']}"
                if interface["ifname"] == self._settings.bridge:
                    own.append(address)
                elif ipaddress.IPv4Interface(address).network.overlaps(self._settings.block):
                    where = f"{interface['ifname']} with {address}"
                    raise HostUnready(f"lxc.address_block {self._settings.block} meets {where}; choose another block")
        return own

    async def ensure_tables(self, right: Right, pins: Iterable[Pin]) -> None:
        """Have the tables as they must be; where they are not, all of them are made anew with these pins."""
        seen = await self.look()
        if seen is None or seen.rules != await self.wanted_rules():
            await self._load(right, render_tables(self._settings, pins))

    async def look(self) -> Listing | None:
        """Return what stands in our tables, or None where one of them is missing; raise GuestFailed."""
        listings = [await self._list_table(family) for family in ("bridge", "inet")]
        if None in listings:
            return None
        return parse_listing([entry for listing in listings for entry in listing or ()])

    async def _list_table(self, family: str) -> list[Any] | None:
        done = await self._host.ask("nft", "-j", "list", "table", family, self._settings.table)
        if done.code == 0:
            return json.loads(done.out)["nftables"]  # type: ignore[no-any-return]
        if b"No such file or directory" in done.err:
            return None
        raise GuestFailed(what="Reading the host's rules", reason=done.err.decode("utf-8", "replace").strip()[-300:])

    async def wanted_rules(self) -> tuple[str, ...]:
        """Return our rules as this host's nftables would list them: loaded in a network of their own that is gone."""
        if self._rules is None:
            program = "nft -f - && nft -j list ruleset"
            text = render_tables(self._settings).encode()
            done = await self._host.ask("unshare", "--net", "sh", "-c", program, stdin=text)
            if done.code != 0:
                raise HostUnready(f"nftables does not take our rules: {done.err.decode('utf-8', 'replace').strip()}")
            self._rules = parse_listing(json.loads(done.out)["nftables"]).rules
        return self._rules

    async def find_trouble(self, pin: Pin, *, is_running: bool) -> str | None:
        """Return why a guest's network is not closed, or None where it is."""
        trouble = find_trouble(await self.look(), await self.wanted_rules(), pin)
        if trouble is None and (others := await asyncio.to_thread(_find_other_files, self._settings.bridge)):
            trouble = f"{', '.join(others)} of {self._settings.bridge} are not ours"
        return trouble or await asyncio.to_thread(self._find_port_trouble, pin.interface, is_running)

    async def look_for_all(self) -> Callable[[Pin], bool]:
        """Look once; the answer tells of any running guest whether its network is closed, and blocks."""
        seen, wanted = await self.look(), await self.wanted_rules()
        return lambda pin: not (find_trouble(seen, wanted, pin) or self._find_port_trouble(pin.interface, True))

    async def pin(self, right: Right, pin: Pin, all_pins: Callable[[], Iterable[Pin]]) -> None:
        """Close a guest's network: the rules as they must be, its pin, its port."""
        await self.ensure_bridge(right)
        seen = await self.look()
        if seen is None or seen.rules != await self.wanted_rules():
            pins = {other for other in await asyncio.to_thread(all_pins) if other.interface != pin.interface}
            await self._load(right, render_tables(self._settings, {*pins, pin}))
        elif find_trouble(seen, seen.rules, pin):
            await self._load(right, render_pin(self._settings, pin, seen))
        # Who had the address before is not remembered.
        await self._run(right, "ip", "neigh", "flush", "to", pin.address, "dev", self._settings.bridge)
        if await asyncio.to_thread((INTERFACES / pin.interface).exists):
            await self._run(right, "ip", "link", "set", pin.interface, "master", self._settings.bridge)
            await self._run(right, "bridge", "link", "set", "dev", pin.interface, "isolated", "on")

    async def unpin(self, right: Right, interface: str) -> None:
        """Take a guest's pin and its interface away; without the one, the other is dead."""
        seen = await self.look()
        if seen is not None and (change := render_unpin(self._settings, interface, seen)):
            await self._load(right, change)
        await self.remove_interface(right, interface)

    async def remove_interface(self, right: Right, interface: str) -> None:
        """Remove the interface of a guest that does not run, where its end left one."""
        place = INTERFACES / interface
        if not await asyncio.to_thread(place.exists):
            return
        try:
            await self._run(right, "ip", "link", "delete", interface)
        except GuestFailed:
            # The kernel takes it away by itself once the last process of the guest has gone, and may have been faster.
            if await asyncio.to_thread(place.exists):
                raise

    async def _load(self, right: Right, text: str) -> None:
        await self._host.run(right, "Closing the guest's network", "nft", "-f", "-", stdin=text.encode())

    async def _run(self, right: Right, *command: str) -> None:
        await self._host.run(right, "Closing the guest's network", *command)

    def _find_port_trouble(self, interface: str, is_running: bool) -> str | None:
        if not is_running:
            return None
        port = INTERFACES / interface / "brport"
        try:
            bridge = (port / "bridge").resolve().name
            is_isolated = (port / "isolated").read_text().strip() == "1"
        except OSError:
            return f"{interface} is no port of {self._settings.bridge}"
        if bridge != self._settings.bridge:
            return f"{interface} is a port of {bridge}"
        return None if is_isolated else f"{interface} is not isolated from other ports"


def _is_up(interface: str) -> bool:
    return bool(int((INTERFACES / interface / "flags").read_text(), 16) & 1)


def _find_other_files(bridge: str) -> list[str]:
    """Return the settings of the bridge that are not as they must be; all of them where it is gone."""
    place = INTERFACES / bridge / "bridge"
    return [name for name, value in BRIDGE_FILES.items() if _read_number(place / name) != value]


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text(), 0)
    except (OSError, ValueError):
        return None


def _write_bridge_file(bridge: str, name: str) -> None:
    (INTERFACES / bridge / "bridge" / name).write_text(f"{BRIDGE_FILES[name]:#x}")


def _has_ipv6(interface: str) -> bool:
    switch = Path("/proc/sys/net/ipv6/conf") / interface / "disable_ipv6"
    return switch.exists() and switch.read_text().strip() != "1"


def _switch_ipv6_off(interface: str) -> None:
    (Path("/proc/sys/net/ipv6/conf") / interface / "disable_ipv6").write_text("1")
