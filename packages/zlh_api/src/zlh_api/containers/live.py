"""The live stream: what changes about the containers that a caller may see, as server-sent events."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

import structlog
from aiohttp import web

from zlh_api.containers.model import Container
from zlh_api.containers.service import ContainerService
from zlh_api.customers.model import Caller
from zlh_api.history.service import HistoryService
from zlh_api.web.endpoint import Call
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import Vmid
from zlh_common.schema.catalog import CatalogEvent
from zlh_common.schema.history import ContainerEvent
from zlh_common.schema.permissions import Permission
from zlh_common.schema.rollouts import RolloutEvent
from zlh_common.schema.structs import encode

log = structlog.get_logger()
# A comment line this often keeps proxies from closing a quiet stream.
HEARTBEAT_S = 15
# An event and no comment: a page hears of those alone, and so finds out that nothing comes any more.
STILL_HERE = b"event: still-here\ndata: {}\n\n"
RIGHTS = b"event: rights\ndata: {}\n\n"
# Changes within this time reach a watcher as one.
COALESCE_S = 0.05
# So many entries of one container's history are shown at once; who needs the rest asks for it.
HAPPENINGS_LIMIT = 100


class _Watcher:
    """One open stream: what is new since it was last written to. Never longer than the number of containers, twice."""

    def __init__(self, call: Call) -> None:
        self._call = call
        # Only what this stream has shown may be reported as gone: a foreign deletion is nobody's business.
        self.shown: set[Vmid] = set()
        self.changed: dict[Vmid, None] = {}
        # By container, the first entry of its history that was not shown.
        self.happened: dict[Vmid, int] = {}
        # When the catalog was published that the portal should show from now on.
        self.catalog: datetime | None = None
        # Whether what the caller may do has changed.
        self.has_other_rights = False
        # The roll-outs of which something has changed, for operators alone.
        self.rollouts: dict[str, None] = {}
        self.wake = asyncio.Event()

    def note_rollout(self, rollout: str) -> None:
        if self._call.caller.may(Permission.VIEW_PLATFORM):
            self.rollouts[rollout] = None
            self.wake.set()

    def note_rights(self) -> None:
        self.has_other_rights = True
        self.wake.set()

    def note_catalog(self, published_at: datetime) -> None:
        self.catalog = published_at
        self.wake.set()

    def note(self, vmid: Vmid) -> None:
        self.changed[vmid] = None
        self.wake.set()

    def note_happening(self, vmid: Vmid, position: int) -> None:
        self.happened[vmid] = min(position, self.happened.get(vmid, position))
        self.wake.set()

    def may_concern(self, vmid: Vmid, customer: UUID) -> bool:
        return vmid in self.shown or self._call.caller.may_know(customer)

    async def take(self) -> tuple[list[Vmid], dict[Vmid, int]]:
        """Return what has changed and what has happened, after at least one of both."""
        await self.wake.wait()
        await asyncio.sleep(COALESCE_S)
        changed, happened = list(self.changed), self.happened
        self.changed, self.happened = {}, {}
        self.wake.clear()
        return changed, happened

    def take_rights(self) -> bool:
        """Tell whether what the caller may do has changed since the last call."""
        changed, self.has_other_rights = self.has_other_rights, False
        return changed

    def take_rollouts(self) -> list[str]:
        """Return the roll-outs of which something has changed since the last call."""
        changed, self.rollouts = list(self.rollouts), {}
        return changed

    def take_catalog(self) -> datetime | None:
        """Return the catalog that was published since the last call, or None."""
        published_at, self.catalog = self.catalog, None
        return published_at


class LiveContainers:
    """Hands every change to every open stream; each stream asks for the reports itself, and as its own caller."""

    def __init__(self, service: ContainerService, history: HistoryService) -> None:
        self._service = service
        self._history = history
        self._watchers: set[_Watcher] = set()
        # Whose a container is, as far as some stream has asked; that never changes, and no VMID is given twice.
        self._customers: dict[Vmid, UUID] = {}

    def note_change(self, vmid_text: str) -> None:
        """Take one notification of the database."""
        if vmid_text.isdigit():
            for watcher in self._watchers_of(Vmid(int(vmid_text))):
                watcher.note(Vmid(int(vmid_text)))

    def note_happening(self, text: str) -> None:
        """Take the notification that a container's history has new entries: its VMID, and the first of them."""
        vmid, _, position = text.partition(" ")
        if vmid.isdigit() and position.isdigit():
            for watcher in self._watchers_of(Vmid(int(vmid))):
                watcher.note_happening(Vmid(int(vmid)), int(position))

    def note_catalog(self, published_at: datetime) -> None:
        """Take the news that another catalog is in use."""
        for watcher in self._watchers:
            watcher.note_catalog(published_at)

    def note_rollout(self, rollout: str) -> None:
        """Take the news that something about a roll-out has changed."""
        for watcher in self._watchers:
            watcher.note_rollout(rollout)

    def _watchers_of(self, vmid: Vmid) -> list[_Watcher]:
        """Return the streams that a container may concern: one that changes without end must not wake all others."""
        customer = self._customers.get(vmid)
        return [each for each in self._watchers if customer is None or each.may_concern(vmid, customer)]

    async def stream(self, call: Call) -> web.StreamResponse:
        """Serve one stream until the client goes: `container` events with reports, `container-deleted` with a VMID,
        `container-event` with an entry of its history, `catalog` when what can be installed has changed, to operators
        `rollout` with the id of one of which something has, `rights` when what the caller may do has changed, and
        `still-here` when nothing else was said for a while.

        It ends as well when the caller's session or token does.
        """
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(call.request)
        watcher = _Watcher(call)
        self._watchers.add(watcher)
        call.on_change(watcher.note_rights)
        # By container, the newest entry of its history that was shown: one notification may bring those of the next.
        told: dict[Vmid, int] = {}
        try:
            await response.write(b": connected\n\n")
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        changed, happened = await watcher.take()
                except TimeoutError:
                    await response.write(STILL_HERE)
                    continue
                await call.wait_certain()
                if watcher.take_rights():
                    await response.write(RIGHTS)
                if published_at := watcher.take_catalog():
                    event = CatalogEvent(published_at=published_at)
                    await response.write(b"event: catalog\ndata: " + encode(event) + b"\n\n")
                await self._write_rollouts(response, call.caller, watcher)
                for vmid in changed:
                    await self._write(response, call.caller, watcher, vmid)
                for vmid, position in happened.items():
                    start = max(position, told.get(vmid, 0) + 1)
                    told[vmid] = await self._write_happenings(response, call.caller, vmid, start)
        except (ConnectionError, ZlhError) as exc:
            # The answer has begun, so there is no other way of telling than its end.
            log.info("live.stream_ended", error=str(exc) or type(exc).__name__)
            return response
        finally:
            self._watchers.discard(watcher)

    async def _write_rollouts(self, response: web.StreamResponse, caller: Caller, watcher: _Watcher) -> None:
        for rollout in watcher.take_rollouts():
            # What the caller may do can have changed since it was noted.
            if caller.may(Permission.VIEW_PLATFORM):
                await response.write(b"event: rollout\ndata: " + encode(RolloutEvent(id=rollout)) + b"\n\n")

    async def _write(self, response: web.StreamResponse, caller: Caller, watcher: _Watcher, vmid: Vmid) -> None:
        report = await self._find_report(caller, vmid)
        if report is not None:
            watcher.shown.add(vmid)
            await response.write(b"event: container\ndata: " + report + b"\n\n")
        elif vmid in watcher.shown:
            watcher.shown.discard(vmid)
            await response.write(b'event: container-deleted\ndata: {"vmid":%d}\n\n' % vmid)

    async def _write_happenings(self, response: web.StreamResponse, caller: Caller, vmid: Vmid, start: int) -> int:
        """Write the entries from `start` on that the caller may see; return the last that was seen to."""
        container = await self._find_visible(caller, vmid)
        if container is None:
            return start - 1
        entries = await self._history.fetch_entries_from(container, start=start, limit=HAPPENINGS_LIMIT)
        for entry in entries:
            event = ContainerEvent(vmid=vmid, entry=entry)
            await response.write(b"event: container-event\ndata: " + encode(event) + b"\n\n")
        return int(entries[-1].id) if entries else start - 1

    async def _find_report(self, caller: Caller, vmid: Vmid) -> bytes | None:
        """Return a report as JSON; however many watch a container, it is made once for each of its versions."""
        try:
            customer, report = await self._service.fetch_report(vmid)
        except NotFound:
            self._customers.pop(vmid, None)
            return None
        self._customers[vmid] = customer
        return report if caller.may_know(customer) else None

    async def _find_visible(self, caller: Caller, vmid: Vmid) -> Container | None:
        try:
            container = await self._service.find(vmid)
        except NotFound:
            self._customers.pop(vmid, None)
            return None
        self._customers[vmid] = container.customer_id
        return container if caller.may_know(container.customer_id) else None
