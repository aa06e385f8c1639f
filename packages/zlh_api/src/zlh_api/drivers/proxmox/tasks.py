"""Tasks of Proxmox: what was asked for runs on after the answer, and ends in a word."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from zlh_api.drivers.port import Warrant
from zlh_api.drivers.proxmox.client import ProxmoxClient
from zlh_api.drivers.proxmox.refusals import GuestLocked, ProxmoxDenied, ProxmoxRefused, find_lock
from zlh_common.errors import ZlhError
from zlh_common.names import Vmid

_UPID = re.compile(
    r"UPID:(?P<node>[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):"
    r"(?P<starttime>[0-9A-Fa-f]{8}):(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)
_WARNINGS = re.compile(r"WARNINGS: \d+")
# The making of a guest by either way, as the type of its task says it.
MAKING_KINDS = frozenset({"vzcreate", "vzclone", "vzrestore"})
LOG_LINES = 20


class TaskFailed(ZlhError):
    """A task of Proxmox has ended in a failure."""

    code, status, retryable = "task_failed", 502, True

    def __init__(self, *, kind: str, node: str, reason: str, output: str | None = None) -> None:
        data = {"output": output} if output else {}
        super().__init__(f"Proxmox's task {kind} on node {node} failed: {reason}.", **data)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Upid:
    """The name of a task, which says where it runs, since when, and what it does."""

    text: str
    node: str
    kind: str
    subject: str
    user: str
    started_at: int


@dataclass(frozen=True, slots=True)
class Polling:
    """How often one looks at what takes its time."""

    first_s: float = 0.25
    most_s: float = 2.0
    # How long something that was asked for, and whose answer was lost, may take to show itself.
    settle_s: float = 5.0


def parse_upid(text: object) -> Upid | None:
    """Return what a task's name says, or None where it is no such name."""
    match = _UPID.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    started_at = int(match["starttime"], 16)
    return Upid(match[0], match["node"], match["type"], match["id"], match["user"], started_at)


def is_success(exit_status: str) -> bool:
    """Tell whether a task did what it was for; one that has something to warn of did."""
    return exit_status == "OK" or _WARNINGS.fullmatch(exit_status) is not None


async def fetch_active(client: ProxmoxClient, node: str, vmid: Vmid) -> list[Upid]:
    """Return the tasks that are at work on a guest now, as far as the token may see them."""
    listed = await client.get(f"/nodes/{node}/tasks", source="active", vmid=int(vmid))
    found = [parse_upid(entry.get("upid")) for entry in listed]
    return [upid for entry, upid in zip(listed, found, strict=True) if upid is not None and not entry.get("endtime")]


async def fetch_ended(client: ProxmoxClient, node: str, vmid: Vmid, *, kinds: frozenset[str]) -> list[Upid]:
    """Return tasks of these kinds that have ended, the token's own."""
    listed = await client.get(f"/nodes/{node}/tasks", source="archive", vmid=int(vmid))
    found = [parse_upid(entry.get("upid")) for entry in listed]
    return [upid for upid in found if upid is not None and upid.kind in kinds]


async def wait_ended(client: ProxmoxClient, upid: Upid, warrant: Warrant, polling: Polling) -> bool:
    """Return True when the task has ended well, and False where nothing can be learnt of it any more.

    Raises TaskFailed, or GuestLocked where a lock stood in its way.
    """
    pause_s = polling.first_s
    while True:
        try:
            state = await client.get(f"/nodes/{upid.node}/tasks/{upid.text}/status")
        except ProxmoxDenied:
            # Somebody else's: it is judged by what it leaves.
            return False
        except ProxmoxRefused as refused:
            if "no such task" in refused.reason:
                return False
            raise
        if state.get("status") == "stopped":
            break
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, polling.most_s)
        warrant.check()
    return await _judge(client, upid, str(state.get("exitstatus") or "unexpected status"))


async def _judge(client: ProxmoxClient, upid: Upid, exit_status: str) -> bool:
    if is_success(exit_status):
        return True
    # What became of it was not written down.
    if exit_status == "unexpected status" or exit_status.startswith("unable to get last line"):
        return False
    if (lock := find_lock(exit_status)) is not None:
        raise GuestLocked(lock=lock)
    raise TaskFailed(kind=upid.kind, node=upid.node, reason=exit_status, output=await _fetch_log(client, upid))


async def _fetch_log(client: ProxmoxClient, upid: Upid) -> str | None:
    try:
        lines = await client.get(f"/nodes/{upid.node}/tasks/{upid.text}/log", limit=500)
        return "\n".join(str(line.get("t", "")) for line in lines[-LOG_LINES:])
    except ZlhError:
        return None
