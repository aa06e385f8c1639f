"""The prober: one API process of an installation proves again and again that each name leads to its container.

Every look asks the proxy once for all routers, and some containers by their public names: those that a person or a
returning agent gives a reason to look at, those in doubt, and whoever was not asked for longest. So the cost of a look
is that of one list and a bounded number of requests, however many containers there are.

It repairs nothing itself: it wakes the reconciler where a route is missing, and writes down what stays broken. All that
it writes names the fence of the patrol, and nothing is written of a container that should not answer any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from zlh_api.audit import store as audit
from zlh_api.audit.lease import PatrolLease
from zlh_api.containers import store as containers
from zlh_api.containers.model import Container
from zlh_api.database.pool import Connection, Database, DatabaseUnavailable
from zlh_api.edge.model import ProxySeen, RouteFile
from zlh_api.edge.port import Proxy
from zlh_api.history import store as history
from zlh_api.proof import rules, store
from zlh_api.proof.model import NAME, Change, EdgeLook, LinkSeen, Memory, Provable, ShownAt
from zlh_api.proof.port import CertificateSight, NameLinks
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark, render_host
from zlh_common.schema.edge import Certificate, EdgeOutage, EdgeProxy, ShownCertificate

log = structlog.get_logger()
# How often the proxy is asked for all that it has loaded, and how soon again where something is in doubt.
LOOK_S = 15.0
CONFIRM_S = 4.0
# Between two looks lies at least this, whoever asks.
PAUSE_S = 0.5
# So many names are asked for at a time, and so many a second for long.
AT_ONCE = 8
PER_S = 20.0
ASKED_IN_A_LOOK = round(PER_S * LOOK_S)
# Beside those that fail, to see whether it is they or everything; and of all, while it is everything.
WITNESSES = 5
# What has to be rendered anew in one look, so that the first look of a process does not take forever.
RENDERED_IN_A_LOOK = 2000
RENDERED_AT_ONCE = 200
ASK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Sights:
    """What the prober looks through."""

    proxy: Proxy
    links: NameLinks
    certificates: CertificateSight
    # The file that the proxy should have for a container with an address.
    route_file: Callable[[Container], RouteFile]


@dataclass(frozen=True, slots=True)
class ProofSetting:
    """What of this installation the prober must know."""

    domain: str
    portal_host: str


@dataclass(slots=True)
class _Look:
    """One look, as far as it has come."""

    now: datetime
    rows: list[Provable]
    # What was seen of each, and of whom the whole chain was.
    seen: dict[OwnerMark, list[LinkSeen]] = field(default_factory=dict)
    asked: dict[OwnerMark, LinkSeen] = field(default_factory=dict)
    certificates: dict[OwnerMark, ShownAt] = field(default_factory=dict)
    outages: list[EdgeOutage] = field(default_factory=list)
    # Whose route is missing in the proxy.
    unrouted: list[OwnerMark] = field(default_factory=list)

    def note(self, owner: OwnerMark, seen: LinkSeen) -> None:
        """Add what was seen of a link."""
        self.seen.setdefault(owner, []).append(seen)

    def note_outage(self, code: str, message: str) -> None:
        """Add what all containers lack."""
        self.outages.append(EdgeOutage(code=code, message=message, since=self.now))


class Prober:
    """Looks while this process holds the patrol's lease, and waits for it otherwise."""

    def __init__(self, database: Database, lease: PatrolLease, sights: Sights, setting: ProofSetting) -> None:
        self._database = database
        self._lease = lease
        self._sights = sights
        self._setting = setting
        self._fence: int | None = None
        self._memories: dict[OwnerMark, Memory] = {}
        self._expected: dict[OwnerMark, tuple[str, tuple[tuple[str, str, str], ...]]] = {}
        self._outages: tuple[EdgeOutage, ...] = ()
        self._portal: ShownCertificate | None = None
        self._hinted: set[int] = set()
        self._due = asyncio.Event()
        # Whoever was asked for by a person does not wait behind those of a look that is under way.
        self._is_urgent = False

    def look_now(self, _vmid: str = "") -> None:
        """Look at once: a person has asked, which stands in the database."""
        self._is_urgent = True
        self._due.set()

    def note_hint(self, vmid: str) -> None:
        """Look at one container soon, which has a reason to be otherwise than before."""
        if vmid.isdigit():
            self._hinted.add(int(vmid))
            self._due.set()

    async def run(self) -> None:
        """Prove for ever."""
        while True:
            await self._lease.wait_held()
            self._due.clear()
            pause_s = await self._look_safely()
            await asyncio.sleep(min(PAUSE_S, pause_s))
            try:
                async with asyncio.timeout(pause_s):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _look_safely(self) -> float:
        """Look once; return after how long to look again, whatever has become of it."""
        try:
            return await self.look()
        except DatabaseUnavailable:
            log.warning("proof.database_away")
            return CONFIRM_S
        except Exception:
            # Whatever it was, the next look may well succeed; a prober that ends is missed by nobody.
            log.exception("proof.broke")
            return LOOK_S

    async def look(self) -> float:
        """Look at everything once, and write down what is new; return after how long to look again."""
        fence = self._lease.fence
        if fence is None:
            return CONFIRM_S
        began, self._is_urgent = time.monotonic(), False
        look = await self._begin(fence)
        proxy = await self._look_at_proxy(look)
        await self._ask_names(look)
        after = self._conclude(look)
        edge = EdgeLook(
            looked_at=look.now,
            took_s=round(time.monotonic() - began, 3),
            containers=sum(row.is_due_to_answer for row in look.rows),
            asked=len(look.asked),
            proxy=proxy,
            outages=rules.keep_since(self._outages, look.outages),
            portal=await self._look_at_portal(look.now),
        )
        if not await self._save(fence, look, edge, after):
            self._fence = None
            return CONFIRM_S
        self._outages = edge.outages
        is_in_doubt = any(rules.is_doubtful(link) for memory in self._memories.values() for link in memory.links)
        return CONFIRM_S if is_in_doubt or self._hinted else LOOK_S

    async def _begin(self, fence: int) -> _Look:
        """Return whom to look at; what another process has seen meanwhile is read anew."""
        async with self._database.connection() as connection:
            now = await store.fetch_now(connection)
            rows = await store.fetch_provable(connection)
            if fence != self._fence:
                self._memories = await store.fetch_memories(connection)
                last, _ = await store.fetch_look(connection)
                self._outages = last.outages if last is not None else ()
                self._portal = last.portal if last is not None else None
        self._fence = fence
        here = {row.owner for row in rows if row.is_due_to_answer}
        for known in (self._memories, self._expected):
            for gone in known.keys() - here:
                del known[gone]
        return _Look(now, rows)

    # The proxy's own list

    async def _look_at_proxy(self, look: _Look) -> EdgeProxy:
        """Hold the routes of all containers against one list of the proxy."""
        try:
            seen = await self._sights.proxy.fetch_seen()
        except ZlhError as error:
            look.note_outage(rules.PROXY_AWAY, error.detail)
            return EdgeProxy(is_reachable=False, trouble=error.detail)
        rows = [row for row in look.rows if row.is_due_to_answer and not row.is_in_work]
        await self._render(rows)
        routes = {row.owner: rules.judge_route(self._routers_of(row), seen.routers) for row in rows if self._knows(row)}
        look.unrouted = [owner for owner, route in routes.items() if not route.is_good]
        if rules.is_outage(routes.values()):
            look.note_outage(
                rules.ROUTES_MISSING,
                f"The proxy uses the routes of hardly any container: {len(look.unrouted)} of {len(routes)} are "
                "missing. A file that it cannot read keeps it from loading all others.",
            )
        else:
            for owner, route in routes.items():
                look.note(owner, route)
        return _describe_proxy(seen)

    async def _render(self, rows: Sequence[Provable]) -> None:
        """Find out which routers belong to the files that were confirmed since, some at a time."""
        new = [row.owner for row in rows if not self._knows(row)][:RENDERED_IN_A_LOOK]
        for start in range(0, len(new), RENDERED_AT_ONCE):
            async with self._database.connection() as connection:
                found = await containers.find_by_owners(connection, new[start : start + RENDERED_AT_ONCE])
            for container in found:
                if container.address is not None:
                    file = self._sights.route_file(container)
                    self._expected[container.owner] = file.digest, file.all_routers

    def _knows(self, row: Provable) -> bool:
        """Tell whether the file that was confirmed is the one whose routers are known; another is on its way."""
        known = self._expected.get(row.owner)
        return known is not None and known[0] == row.confirmed

    def _routers_of(self, row: Provable) -> tuple[tuple[str, str, str], ...]:
        return self._expected[row.owner][1]

    # Public names

    async def _ask_names(self, look: _Look) -> None:
        """Ask for those that are due by name, and for witnesses where some do not answer."""
        was_silent = any(outage.code == rules.NAMES_SILENT for outage in self._outages)
        limit = WITNESSES if was_silent else ASKED_IN_A_LOOK
        rows = [row for row in look.rows if row.is_due_to_answer]
        due = rules.choose_due(rows, self._memories, self._hinted, now=look.now, limit=limit)
        await self._ask_all(look, due)
        if not all(seen.is_good for seen in look.asked.values()):
            await self._ask_all(look, rules.choose_witnesses(rows, self._memories, look.asked, limit=WITNESSES))
        self._hinted -= {row.vmid for row in rows if row.owner in look.asked}
        self._hinted &= {row.vmid for row in rows}
        is_proxy_away = any(outage.code == rules.PROXY_AWAY for outage in look.outages)
        if rules.is_outage(look.asked.values(), is_proxy_away=is_proxy_away):
            message = next(seen.message or "" for seen in look.asked.values() if not seen.is_good)
            look.note_outage(rules.NAMES_SILENT, f"Hardly any name leads to its container. One of them: {message}")
            return
        for owner, seen in look.asked.items():
            look.note(owner, seen)
        asked = [row for row in rows if row.owner in look.asked]
        for owner, links in (await self._look_at_links(asked)).items():
            for link in links:
                look.note(owner, link)

    async def _ask_all(self, look: _Look, rows: Sequence[Provable]) -> None:
        """Ask for some by name, at a steady pace; a person's wish does not wait until all were asked."""
        places, started = asyncio.Semaphore(AT_ONCE), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, row in enumerate(rows):
                if self._is_urgent and number >= WITNESSES:
                    return
                await asyncio.sleep(max(0.0, started + (number - AT_ONCE) / PER_S - time.monotonic()))
                await places.acquire()
                task = group.create_task(self._ask_one(look, row))
                task.add_done_callback(lambda _task: places.release())

    async def _ask_one(self, look: _Look, row: Provable) -> None:
        host = render_host(row.host, self._setting.domain)
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                await self._sights.proxy.check_ready(host, row.vmid)
                if row.played_at is not None:
                    await self._sights.proxy.check_game(host, row.played_at)
        except ZlhError as error:
            seen = LinkSeen(NAME, is_good=False, code=error.code, message=error.detail)
        except TimeoutError:
            message = f"{host} did not answer within {ASK_TIMEOUT_S:.0f} s."
            seen = LinkSeen(NAME, is_good=False, code=rules.fault_of(NAME), message=message)
        else:
            seen = LinkSeen(NAME, is_good=True)
        look.asked[row.owner] = seen
        memory = self._memories.get(row.owner, Memory())
        if rules.needs_certificate(memory, has_failed=not seen.is_good, now=look.now):
            shown = await self._fetch_certificate(host)
            if shown is not None:
                look.certificates[row.owner] = ShownAt(shown, look.now)

    async def _look_at_links(self, rows: Sequence[Provable]) -> Mapping[OwnerMark, tuple[LinkSeen, ...]]:
        try:
            return await self._sights.links.look(rows)
        except ZlhError as error:
            log.warning("proof.links_unseen", code=error.code, error=error.detail)
            return {}

    async def _fetch_certificate(self, host: str) -> Certificate | None:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                return await self._sights.certificates.fetch_certificate(host)
        except (ZlhError, TimeoutError):
            return None

    async def _look_at_portal(self, now: datetime) -> ShownCertificate | None:
        """Return what the portal's own name shows, asked for as rarely as containers are."""
        known = self._portal
        if known is None or known.is_due or now - known.seen_at > rules.CERTIFICATE_EVERY:
            host = self._setting.portal_host
            shown = await self._fetch_certificate(host)
            if shown is not None:
                is_due = rules.is_certificate_due(shown.not_after, now)
                self._portal = ShownCertificate(certificate=shown, hosts=1, example=host, seen_at=now, is_due=is_due)
        return self._portal

    # What follows

    def _conclude(self, look: _Look) -> dict[OwnerMark, Memory]:
        """Return what is known now of each container of which something was seen."""
        after = {}
        for row in look.rows:
            if not row.is_due_to_answer or (row.owner not in look.seen and row.owner not in look.asked):
                continue
            before = rules.forget_links(self._memories.get(row.owner, Memory()), self._sights.links.links)
            memory = rules.take_all(before, look.seen.get(row.owner, ()), look.now)
            if row.owner in look.asked:
                memory = replace(memory, checked_at=look.now)
            if (shown := look.certificates.get(row.owner)) is not None:
                memory = replace(memory, certificate=shown)
            after[row.owner] = memory
        return after

    async def _save(self, fence: int, look: _Look, edge: EdgeLook, after: Mapping[OwnerMark, Memory]) -> bool:
        """Keep what is new, tell what has broken or healed, and wake the reconciler; False where another looks."""
        before = {owner: self._memories.get(owner, Memory()) for owner in after}
        news = {
            owner: memory
            for owner, memory in after.items()
            if owner in look.asked or rules.is_news(before[owner], memory)
        }
        faults = {row.owner: row.faults for row in look.rows}
        changed = {
            owner: words for owner, memory in after.items() if (words := rules.faults_of(memory)) != faults[owner]
        }
        idle = [row.owner for row in look.rows if not row.is_due_to_answer]
        async with self._database.transaction() as connection:
            if not await store.save_look(connection, fence, edge):
                return False
            written = await store.save_faults(connection, changed) if changed else set()
            for owner in written:
                await _tell(connection, owner, rules.find_changes(before[owner], after[owner]))
            if idle:
                await store.forget_faults(connection, idle)
            if news:
                await store.save_memories(connection, news)
            woken = await audit.wake(connection, look.unrouted) if look.unrouted else 0
        self._memories |= after
        if changed or look.outages or woken:
            log.warning(
                "proof.looked",
                changed=len(changed),
                outages=[outage.code for outage in look.outages],
                woken=woken,
                seconds=edge.took_s,
            )
        return True


def _describe_proxy(seen: ProxySeen) -> EdgeProxy:
    refused = sum(router.status != "enabled" for router in seen.routers.values())
    return EdgeProxy(is_reachable=True, version=seen.version, routers=len(seen.routers), refused=refused)


async def _tell(connection: Connection, owner: OwnerMark, changes: Sequence[Change]) -> None:
    """Write into a container's history what has broken, and what holds again."""
    for change in changes:
        await history.insert_own(
            connection,
            owner,
            kind="name.broken" if change.is_broken else "name.mended",
            subject=change.link,
            message=rules.tell_change(change),
            data={"code": change.code},
        )
