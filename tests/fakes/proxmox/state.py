"""What a cluster holds: nodes, guests with their firewalls, tasks, locks. It knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.proxmox.rights import Access

GIB = 2**30
Work = Callable[[], Awaitable[str | None]]


class Refusal(Exception):
    """What the API answers in place of data: a status, a reason, and sometimes what is wrong with a field."""

    def __init__(self, reason: str, *, status: int = 500, errors: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.errors = reason, status, errors


def wrong(**errors: str) -> Refusal:
    """Return the refusal of a parameter."""
    named = {name.replace("_", "-") if name == "icmp_type" else name: text for name, text in errors.items()}
    return Refusal("Parameter verification failed.", status=400, errors=named)


@dataclass
class Node:
    """One machine."""

    name: str
    cores: int = 16
    memory: int = 64 * GIB
    used_memory: int = 4 * GIB
    disk: int = 1000 * GIB
    is_up: bool = True
    is_maintained: bool = False
    firewall: dict[str, Any] = field(default_factory=dict)
    clock_ahead_s: float = 0.0
    storages: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "local": {"type": "dir", "content": "vztmpl,iso,backup"},
            "local-lvm": {"content": "rootdir,images"},
        }
    )
    # Archives of the cluster that this node has not got.
    lost_archives: set[str] = field(default_factory=set)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Firewall:
    """What stands in a guest's file of rules."""

    options: dict[str, Any] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    sets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass
class Guest:
    """One container or machine: its configuration, and whether it runs."""

    vmid: int
    node: str
    config: dict[str, Any]
    kind: str = "lxc"
    is_running: bool = False
    firewall: Firewall = field(default_factory=Firewall)
    started_at: float = 0.0
    # How often it was touched by a call that changes something.
    touched: int = 0

    def check_lock(self) -> None:
        """Refuse where Proxmox is at work on it."""
        if lock := self.config.get("lock"):
            raise Refusal(f"CT is locked ({lock})")


@dataclass
class Task:
    """Something under way, or what became of it."""

    upid: str
    node: str
    kind: str
    subject: str
    user: str
    started_at: int
    exit_status: str | None = None
    # Nobody remembers it any more.
    is_lost: bool = False
    log: list[str] = field(default_factory=list)


class Cluster:
    """Nodes that share what they know of their guests."""

    def __init__(self, *names: str, roots: Path, task_s: float = 0.05) -> None:
        self.nodes = {name: Node(name) for name in names}
        self.guests: dict[int, Guest] = {}
        self.tasks: dict[str, Task] = {}
        for number, node in enumerate(self.nodes.values(), 11):
            node.networks = {
                "eno1": {"type": "eth", "active": 1},
                "vmbr0": {"type": "bridge", "active": 1, "address": f"192.0.2.{number}", "bridge_ports": "eno1"},
                "vmbr1": {"type": "bridge", "active": 1, "bridge_vlan_aware": 1, "bridge_ports": ""},
            }
        self.version = "9.1.1"
        self.access = Access()
        # With the numbers of their members.
        self.pools: dict[str, set[int]] = {"zlh": set()}
        # Networks of the cluster's SDN, which every node has, with their zones.
        self.vnets: dict[str, str] = {}
        self.storage = "local-lvm"
        self.is_storage_shared = False
        self.has_high_availability = True
        self.templates = {"local:vztmpl/zlh.tar.zst"}
        self.firewall: dict[str, Any] = {"enable": 1}
        # Where guests keep their files, and where a mounted one is seen.
        self.roots = roots
        self.task_s = task_s
        self.orderly_stop_s = 0.0
        # The list of all guests as it was at some moment; None is as it is.
        self.frozen_list: list[dict[str, Any]] | None = None
        # Rules that are set are taken, and are not there afterwards.
        self.is_firewall_deaf = False
        # How the next tasks of a kind end.
        self.endings: dict[str, list[str]] = {}
        # Tasks of these kinds are forgotten as soon as they are begun, or belong to somebody else.
        self.lost_kinds: set[str] = set()
        self.hidden_kinds: set[str] = set()
        # Makings of guests in a moment, and how many there were at once, per node.
        self.making: dict[str, int] = dict.fromkeys(names, 0)
        self.most_making: dict[str, int] = dict.fromkeys(names, 0)
        self._numbers = itertools.count(0x1000)
        self._running: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End what is under way."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def guest(self, node: str, vmid: int) -> Guest:
        """Return a container that this node has."""
        guest = self.guests.get(vmid)
        if guest is None or guest.node != node or guest.kind != "lxc":
            raise Refusal(f"Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist")
        return guest

    def begin_guest(self, node: str, vmid: int) -> Guest:
        """Take a number: a configuration with a lock and nothing else, before any task of it."""
        if vmid in self.guests:
            other = self.guests[vmid]
            raise Refusal(f"CT {vmid} already exists on node '{other.node}'")
        guest = self.guests[vmid] = Guest(vmid, node, {"lock": "create"})
        return guest

    def start_task(self, kind: str, node: str, subject: object, user: str, work: Work) -> str:
        """Begin a task and return its name."""
        now, number = int(time.time()), next(self._numbers)
        upid = f"UPID:{node}:{number:08X}:{number:08X}:{now:08X}:{kind}:{subject}:{user}:"
        task = self.tasks[upid] = Task(upid, node, kind, str(subject), user, now)
        task.is_lost = kind in self.lost_kinds
        running = asyncio.create_task(self._run(task, work))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return upid

    async def _run(self, task: Task, work: Work) -> None:
        ordered = self.endings.get(task.kind)
        ending = ordered.pop(0) if ordered else None
        try:
            if ending is not None and not ending.startswith("WARNINGS"):
                await asyncio.sleep(self.task_s)
                self._undo_making(task)
                task.exit_status = ending
                return
            task.exit_status = await work() or ending or "OK"
        except Refusal as refusal:
            task.exit_status = refusal.reason
        except asyncio.CancelledError:
            task.exit_status = "unexpected status"
            raise
        finally:
            task.log += [f"{task.kind} of {task.subject}", f"TASK {task.exit_status}"]

    def _undo_making(self, task: Task) -> None:
        """Proxmox itself takes away what a failed making has begun."""
        if task.kind == "vzcreate":
            with suppress(KeyError):
                if self.guests[int(task.subject)].config.get("lock") == "create":
                    self.forget(int(task.subject))
        if task.kind == "vzclone":
            self.guests[int(task.subject)].config.pop("lock", None)
            for vmid in [vmid for vmid, guest in self.guests.items() if guest.config.get("lock") == "create"]:
                self.forget(vmid)

    def forget(self, vmid: int) -> None:
        """Take a guest away with all that it had."""
        guest = self.guests.pop(vmid)
        for members in self.pools.values():
            members.discard(vmid)
        with suppress(KeyError):
            self.making[guest.node] -= guest.config.get("lock") == "create"

    def count_making(self, node: str) -> None:
        """Note that one more guest is being made."""
        self.making[node] += 1
        self.most_making[node] = max(self.most_making[node], self.making[node])

    def list_guests(self) -> list[dict[str, Any]]:
        """Return the guests as the list of the whole cluster shows them now."""
        return [self._entry(guest) for guest in self.guests.values()]

    def freeze_list(self) -> None:
        """From now on the list shows what it shows now."""
        self.frozen_list = self.list_guests()

    def move(self, vmid: int, node: str) -> None:
        """Move a guest to another node, as HA or a hand does."""
        self.guests[vmid].node = node

    def add_stranger(self, vmid: int, *, node: str | None = None, kind: str = "lxc") -> Guest:
        """Make somebody else's guest."""
        config = {"hostname": "precious", "rootfs": "local-lvm:vm-0-disk-0,size=8G", "memory": 512, "unprivileged": 1}
        guest = self.guests[vmid] = Guest(vmid, node or next(iter(self.nodes)), config, kind)
        return guest

    def add_template(self, vmid: int, *, node: str | None = None, size: str = "8G") -> Guest:
        """Make a template that can be cloned."""
        config = {
            "hostname": "template",
            "rootfs": f"{self.storage}:base-{vmid}-disk-0,size={size}",
            "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth",
            "unprivileged": 1,
            "features": "nesting=1",
            "template": 1,
            "cores": 1,
            "memory": 512,
            "swap": 512,
        }
        guest = self.guests[vmid] = Guest(vmid, node or next(iter(self.nodes)), config)
        return guest

    def is_quiet(self) -> bool:
        """Tell whether nothing is under way and nothing is locked."""
        return all(task.exit_status for task in self.tasks.values()) and not any(
            guest.config.get("lock") for guest in self.guests.values()
        )

    def _entry(self, guest: Guest) -> dict[str, Any]:
        node = self.nodes[guest.node]
        entry = {"id": f"{guest.kind}/{guest.vmid}", "type": guest.kind, "vmid": guest.vmid, "node": guest.node}
        entry |= {name: guest.config[name] for name in ("tags", "lock", "template") if name in guest.config}
        if not node.is_up:
            return {**entry, "status": "unknown"}
        return {
            **entry,
            "status": "running" if guest.is_running else "stopped",
            "name": guest.config.get("hostname", ""),
            "maxcpu": guest.config.get("cpulimit") or guest.config.get("cores", node.cores),
            "maxmem": int(guest.config.get("memory", 512)) * 2**20,
            "maxdisk": 0,
            "cpu": 0,
            "mem": 0,
        }


def digest_of(content: object) -> str:
    """Return the digest by which a change that is too late is known."""
    return hashlib.sha1(repr(content).encode(), usedforsecurity=False).hexdigest()


def parse_size(text: str) -> int:
    """Return the bytes of `8G`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    assert match is not None
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


def render_size(size: int) -> str:
    """Return a size in the largest unit that shows it whole."""
    for unit, power in (("T", 4), ("G", 3), ("M", 2), ("K", 1)):
        if size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)
