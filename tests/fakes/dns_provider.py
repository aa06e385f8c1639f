"""A DNS provider in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count

from fakes.faults import Faults
from zlh_api.dns.model import Changes, FoundRecord, ProviderSetting, Record, Whose
from zlh_api.dns.port import Check
from zlh_common.names import OwnerMark


class FakeProvider:
    """Holds records, and writes one after the other."""

    survey_every_s = 0.0

    def __init__(self, faults: Faults, name: str = "public") -> None:
        self.faults = faults
        self._setting = ProviderSetting(name, "localhost", ("192.0.2.1",))
        self.records: list[FoundRecord] = []
        self._handles = count(1)

    @property
    def setting(self) -> ProviderSetting:
        """What it is told to lead where."""
        return self._setting

    async def close(self) -> None:
        """Nothing is open."""

    async def find(self, whose: Whose) -> list[FoundRecord]:
        """Return what is at the names that are known."""
        async with self.faults.call("find_records"):
            return [record for record in self.records if record.host in whose.names]

    async def apply(self, whose: Whose, changes: Changes, check: Check) -> None:
        """Write one record after the other."""
        for gone in changes.deleted:
            async with self.effect("delete_record", check):
                self.records = [record for record in self.records if record != gone]
        for found, wanted in changes.changed:
            async with self.effect("change_record", check):
                self.records = [record for record in self.records if record != found]
                self.put(wanted, whose.owner)
        for wanted in changes.added:
            async with self.effect("add_record", check):
                self.put(wanted, whose.owner)

    async def survey(self) -> list[FoundRecord]:
        """Return all of it."""
        async with self.faults.call("survey_records"):
            return list(self.records)

    def put(self, record: Record, owner: OwnerMark | None) -> None:
        """Put a record there, or a stranger's."""
        found = FoundRecord(record.name, record.type, record.content, record.ttl, owner)
        self.records.append(replace(found, handle=str(next(self._handles))))

    def names(self, owner: OwnerMark | None = None) -> list[str]:
        """Return where there are records, of one mark or of all."""
        return sorted(record.name for record in self.records if owner in {None, record.owner})

    @asynccontextmanager
    async def effect(self, name: str, check: Check) -> AsyncIterator[None]:
        """Surround one write."""
        check()
        async with self.faults.call(name):
            yield
