"""What the driver knows of this host and of one guest: values."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from zlh_common.errors import ZlhError
from zlh_common.names import Kind, OwnerMark, Vmid


class HostUnready(ZlhError):
    """This host lacks something that the lxc driver needs."""

    code, status = "host_unready", 500

    def __init__(self, problem: str) -> None:
        super().__init__(f"The lxc driver cannot work on this host: {problem}.")


@dataclass(frozen=True, slots=True)
class LxcSettings:
    """How guests are made here."""

    root: Path
    template: Path
    bridge: str
    block: ipaddress.IPv4Network
    storage: Literal["overlay", "copy"] = "overlay"
    disk: Literal["image", "none"] = "image"
    egress: Literal["none", "internet"] = "none"
    nameservers: tuple[str, ...] = ()
    # The port of the bridge's address where guests find the artifact server; None where they find it elsewhere.
    artifacts_port: int | None = None
    # Addresses and ports of a private network that guests with egress reach all the same.
    private_places: tuple[tuple[str, int], ...] = ()
    # None is whatever this kernel asks for.
    apparmor: Literal["generated", "unconfined"] | None = None
    # Root of a guest is this user here.
    first_id: int = 100_000
    id_count: int = 65_536

    @property
    def gateway(self) -> str:
        """The bridge's own address: the first of the block."""
        return str(self.block.network_address + 1)

    @property
    def table(self) -> str:
        """The name of our tables of nftables."""
        return f"zlh_{self.bridge}"

    def veth(self, vmid: Vmid) -> str:
        """Return the name of a guest's interface here; the rules know guests by its beginning."""
        return f"{self.bridge}v{vmid}"


class GuestMark(msgspec.Struct, frozen=True, kw_only=True):
    """`guest.json`: whose the folder is, inside it before it has its name."""

    owner: OwnerMark
    vmid: Vmid
    kind: Kind
    address: str
    # The layer below an overlay; a guest keeps the one that it was made of.
    template: str
    # The size that its disk has reached; 0 is no disk of its own.
    disk_mib: int = 0


@dataclass(frozen=True, slots=True)
class GuestFolder:
    """Where everything of one guest lies."""

    path: Path

    @property
    def mark(self) -> Path:
        """Whose it is."""
        return self.path / "guest.json"

    @property
    def config(self) -> Path:
        """What LXC reads."""
        return self.path / "config"

    @property
    def log(self) -> Path:
        """What LXC tells."""
        return self.path / "lxc.log"

    @property
    def image(self) -> Path:
        """The file that holds the guest's own file system, where its size is limited."""
        return self.path / "disk.img"

    @property
    def data(self) -> Path:
        """Where that is mounted, else a plain folder."""
        return self.path / "data"

    @property
    def upper(self) -> Path:
        """What the guest has changed of the template."""
        return self.data / "upper"

    @property
    def work(self) -> Path:
        """What the overlay needs for itself."""
        return self.data / "work"

    @property
    def copy(self) -> Path:
        """A root file system of its own."""
        return self.data / "rootfs"

    @property
    def merged(self) -> Path:
        """Where the overlay is mounted."""
        return self.path / "rootfs"


def mac_of(owner: OwnerMark) -> str:
    """Return the hardware address of a guest: its own for ever, unlike its number and its address."""
    return _local_mac(owner)


def bridge_mac(bridge: str) -> str:
    """Return the hardware address of our bridge."""
    return _local_mac(f"bridge {bridge}")


def _local_mac(of: str) -> str:
    digest = hashlib.sha256(of.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def group_of(owner: OwnerMark) -> str:
    """Return the name of a guest's control group in every hierarchy."""
    return f"zlh-{owner}"


def groups_of(owner: OwnerMark) -> tuple[str, str, str]:
    """Return all control groups of a guest: its own, its watcher's, and where that stands during a restart."""
    return group_of(owner), f"{group_of(owner)}-monitor", f"{group_of(owner)}-pivot"
