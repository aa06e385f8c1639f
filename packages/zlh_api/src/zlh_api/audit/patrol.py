"""The patrol: one API process of an installation looks over everything on a timer, and sets going what must be done.

It repairs nothing itself: containers that differ are woken, so that their reconciler looks. What it does take away is
what carries the mark of a container that we have deleted. Everything that it writes names its fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

import structlog

from zlh_api.audit import left_records, store
from zlh_api.audit.guest_rules import is_removable
from zlh_api.audit.lease import HOLD_S, PatrolLease
from zlh_api.audit.record_rules import is_record_of
from zlh_api.audit.removal import Remains, Remover, collect
from zlh_api.audit.rules import (
    Key,
    confirm,
    find_doubts,
    find_occupied,
    find_owners_to_wake,
    find_removable,
    keys_of,
    needs_second_look,
)
from zlh_api.audit.service import EVERY_S, Auditor, Look
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.reconcile.model import LeaseLost
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark

log = structlog.get_logger()
# What only a second look can confirm is looked at again this soon.
CONFIRM_S = 4.0
MAX_REMOVALS = 4


class Patrol:
    """Looks while it holds the lease, and waits for it otherwise."""

    def __init__(self, auditor: Auditor, remover: Remover) -> None:
        self._auditor = auditor
        self._remover = remover
        self._database = auditor.database
        self._lease = PatrolLease(self._database)
        self._asked = asyncio.Event()
        # What the last look has shown, and under which fence: what another has seen meanwhile is not known here.
        self._before: AbstractSet[Key] = frozenset()
        self._before_fence: int | None = None
        self._removing: set[OwnerMark] = set()
        # Since the look that is under way began: it may still show what was there then.
        self._removed: set[OwnerMark] = set()

    @property
    def lease(self) -> PatrolLease:
        """What makes this process the one who looks, for whoever else looks at everything."""
        return self._lease

    def look_now(self, _payload: str = "") -> None:
        """Look at once instead of at the next tick."""
        self._asked.set()

    async def run(self) -> None:
        """Patrol for ever; another process takes over at once when this is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lease.run())
            while True:
                await self._lease.wait_held()
                self._asked.clear()
                pause_s = await self._look(group)
                try:
                    async with asyncio.timeout(pause_s):
                        await self._asked.wait()
                except TimeoutError:
                    continue

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Look and act; return after how long to look again."""
        self._removed.clear()
        if (fence := self._lease.fence) != self._before_fence:
            self._before, self._before_fence = frozenset(), fence
        try:
            look = await self._auditor.look()
            if not await self._note(look):
                return HOLD_S
            self._remove(look, group)
        except DatabaseUnavailable:
            log.warning("patrol.database_away")
            return CONFIRM_S
        except Exception:
            # Whatever it was, the next look may well succeed; a patrol that ends is missed by nobody.
            log.exception("patrol.broke")
            return EVERY_S
        differences = look.differences
        soon = needs_second_look(differences, self._before)
        self._before = keys_of(differences)
        return CONFIRM_S if soon else EVERY_S

    async def _note(self, look: Look) -> bool:
        """Keep the report and wake whom it names; False where another patrols by now."""
        fence = self._lease.fence
        if fence is None or fence != self._before_fence:
            return False
        findings = confirm(look.differences, self._before)
        occupied = find_occupied(look.books, look.seen.guests) if look.seen.guests is not None else None
        async with self._database.transaction() as connection:
            if not await store.save_report(connection, fence, look.report(findings), occupied):
                return False
            # Before they are woken, or they would look too early.
            await store.doubt_records(connection, find_doubts(look.differences))
            for survey in look.seen.records:
                seen = {record.owner for record in survey.found if record.owner is not None}
                await left_records.drop_unseen(connection, survey.provider, seen)
            woken = await store.wake(connection, find_owners_to_wake(look.differences))
            if woken:
                await store.hint_proof(connection, _numbers_of(look))
        if woken or findings:
            log.info("patrol.looked", findings=len(findings), woken=woken, seconds=round(look.took_s, 3))
        return True

    def _remove(self, look: Look, group: asyncio.TaskGroup) -> None:
        for owner in sorted(find_removable(look.differences) - self._removing - self._removed):
            if len(self._removing) == MAX_REMOVALS:
                return
            self._removing.add(owner)
            group.create_task(self._remove_one(_remains(look, owner)))

    async def _remove_one(self, remains: Remains) -> None:
        try:
            if await self._remover.remove(remains):
                self._auditor.records.forget(remains.owner)
        except (LeaseLost, DatabaseUnavailable, TimeoutError) as error:
            log.warning("audit.removal_dropped", owner=remains.owner, error=str(error) or type(error).__name__)
        except ZlhError as error:
            log.warning("audit.removal_failed", owner=remains.owner, code=error.code, error=error.detail)
        except Exception:
            # One guest that cannot be removed must not end the patrol.
            log.exception("audit.removal_broke", owner=remains.owner)
        finally:
            self._removing.discard(remains.owner)
            self._removed.add(remains.owner)


def _numbers_of(look: Look) -> set[int]:
    """Whose chain may not hold because of what was found."""
    return {each.finding.vmid for each in look.differences if each.wakes and each.finding.vmid is not None}


def _remains(look: Look, owner: OwnerMark) -> Remains:
    """What is ours to take away of a deleted container; a copy at another number is not."""
    departed = look.books.departed[owner]
    guests = [guest for guest in look.seen.guests or () if guest.owner == owner and is_removable(guest, departed)]
    records = [
        (survey.provider, record)
        for survey in look.seen.records
        for record in survey.found
        if record.owner == owner and is_record_of(record, departed, domain=look.books.domain)
    ]
    return collect(owner, guests, look.seen.routes or (), records)
