"""`config` of a guest: what LXC reads, rendered anew before each start; pure text."""

from __future__ import annotations

from zlh_api.drivers.lxc.limits import Controllers, GroupFile, wanted_files
from zlh_api.drivers.lxc.model import GuestFolder, GuestMark, LxcSettings, groups_of, mac_of
from zlh_common.names import container_label
from zlh_common.schema.resources import Resources


def render_config(
    settings: LxcSettings,
    folder: GuestFolder,
    mark: GuestMark,
    resources: Resources,
    *,
    here: Controllers,
    apparmor: str,
    network_up: str,
) -> str:
    """Return the whole file; `network_up` is the program that refuses a network that is not closed."""
    rootfs = folder.copy if settings.storage == "copy" else folder.merged
    ids = f"0 {settings.first_id} {settings.id_count}"
    veth = settings.veth(mark.vmid)
    group, monitor, pivot = groups_of(mark.owner)
    lines = [
        f"# Written by ZLH before each start; changes are lost. Owner: {mark.owner}",
        f"lxc.uts.name = {container_label(mark.kind, mark.vmid)}",
        f"lxc.rootfs.path = dir:{rootfs}",
        "lxc.include = /usr/share/lxc/config/common.conf",
        "lxc.include = /usr/share/lxc/config/userns.conf",
        f"lxc.idmap = u {ids}",
        f"lxc.idmap = g {ids}",
        f"lxc.apparmor.profile = {apparmor}",
        # Beside whatever started it: a restart of the API ends no guest.
        f"lxc.cgroup.dir.container = {group}",
        f"lxc.cgroup.dir.monitor = {monitor}",
        f"lxc.cgroup.dir.monitor.pivot = {pivot}",
        "lxc.net.0.type = veth",
        f"lxc.net.0.link = {settings.bridge}",
        "lxc.net.0.flags = up",
        "lxc.net.0.name = eth0",
        f"lxc.net.0.veth.pair = {veth}",
        f"lxc.net.0.hwaddr = {mac_of(mark.owner)}",
        f"lxc.net.0.ipv4.address = {mark.address}/{settings.block.prefixlen} {settings.block.broadcast_address}",
        f"lxc.net.0.ipv4.gateway = {settings.gateway}",
        f"lxc.net.0.script.up = {network_up} {veth} {mac_of(mark.owner)} {mark.address}",
        *(render_limit(file) for file in wanted_files(resources, here)),
        "lxc.signal.halt = SIGRTMIN+3",
        "lxc.start.auto = 0",
        "lxc.autodev = 1",
    ]
    return "\n".join(lines) + "\n"


def render_limit(file: GroupFile) -> str:
    """Return the line for one file of a control group."""
    return f"lxc.cgroup{'2' if file.version == 2 else ''}.{file.name} = {file.value}"


def has_limits(config: str, resources: Resources, here: Controllers) -> bool:
    """Tell whether the next start will give these limits."""
    lines = set(config.splitlines())
    return all(render_limit(file) in lines for file in wanted_files(resources, here))


def find_addresses(config: str) -> tuple[str, ...]:
    """Return the IPv4 addresses that any LXC container's config gives it."""
    found = []
    for line in config.splitlines():
        key, equals, value = line.partition("=")
        words = key.strip().split(".")
        if equals and words[:2] == ["lxc", "net"] and words[3:] == ["ipv4", "address"]:
            found.append(value.strip().partition(" ")[0].partition("/")[0])
    return tuple(address for address in found if address)
