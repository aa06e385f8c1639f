"""The tables of the drivers, of which an installation uses one."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from zlh_api.config.section import ListenPort, Section


class ProcessDriverSection(Section):
    """The `process` driver: each container is a folder and an agent on a loopback address of its own."""

    root: Path
    # Addresses are taken from this block.
    address_block: str = "127.77.0.0/16"

    @property
    def installation(self) -> str:
        """What tells this installation's guests from another's on the same machine."""
        return str(self.root)


class LxcDriverSection(Section):
    """The `lxc` driver: each container is an unprivileged LXC container of this host (docs/lxc.md)."""

    root: Path
    # A root file system that belongs to root of the containers.
    template: Path
    # Interfaces of guests are `<bridge>v<vmid>`, and a name has 15 characters at most.
    bridge: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{0,4}$")] = "zlh0"
    # Addresses are taken from this block; the first is this host's.
    address_block: str = "10.81.0.0/16"
    storage: Literal["overlay", "copy"] = "overlay"
    disk: Literal["image", "none"] = "image"
    egress: Literal["none", "internet"] = "none"
    nameservers: tuple[str, ...] = ()
    apparmor: Literal["generated", "unconfined"] | None = None
    # The first of the 65,536 users and groups of containers, as in /etc/subuid.
    first_id: Annotated[int, Meta(ge=65_536, le=2**31)] = 100_000

    @property
    def installation(self) -> str:
        """What tells this installation's guests from another's on the same machine."""
        return str(self.root)

    @property
    def block(self) -> ipaddress.IPv4Network:
        """The block, which `find_problems` has seen to be one."""
        return ipaddress.IPv4Network(self.address_block)

    @property
    def gateway(self) -> str:
        """This host's address on the bridge."""
        return str(self.block.network_address + 1)


class ProxmoxShellSection(Section, kw_only=True):
    """The shells of Proxmox's nodes: as whom we come, and by what they are known."""

    user: str = "root"
    key: Path
    known_hosts: Path
    port: ListenPort = 22
    # Where a node is reached under another name than its own.
    hosts: Mapping[str, str] = field(default_factory=dict)


class ProxmoxDriverSection(Section, kw_only=True):
    """The `proxmox` driver: each container is one of a Proxmox VE cluster."""

    url: str
    # USER@REALM!NAME; its secret stands in a file of its own.
    token_id: str
    token_file: Path
    # By what its certificate is known: a CA, or the certificate's own SHA-256; neither is the machine's CAs.
    ca: Path | None = None
    fingerprint: str | None = None
    # The number of a template to clone, or the volume of an archive to unpack.
    template: int | str
    storage: str
    bridge: str
    vlan: Annotated[int, Meta(ge=1, le=4094)] | None = None
    address_block: str
    gateway: str
    # Of the network, where that is larger than the block.
    prefix: Annotated[int, Meta(ge=8, le=30)] | None = None
    # From where guests are reached: the addresses of all API processes and of the proxy.
    allowed_from: Annotated[tuple[str, ...], Meta(min_length=1, max_length=32)]
    artifact_servers: Annotated[tuple[str, ...], Meta(min_length=1, max_length=32)]
    name_servers: Annotated[tuple[str, ...], Meta(max_length=3)] = ()
    egress: Literal["internet", "none"] = "internet"
    nodes: tuple[str, ...] = ()
    pool: str | None = None
    tags: tuple[str, ...] = ()
    ssh: ProxmoxShellSection

    @property
    def installation(self) -> str:
        """What tells this installation's guests from another's in the same cluster."""
        return f"{self.url} {self.token_id}"


DriverSection = ProcessDriverSection | LxcDriverSection | ProxmoxDriverSection
