"""What DNS providers were last seen to hold, each as often as it may be asked.

A survey that is used again is judged by what the books said when it was taken: a container that somebody has worked on
since is not held against it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from zlh_api.audit.model import RECORDS, RecordSurvey, records_part
from zlh_api.audit.port import RecordInventory
from zlh_api.audit.printable import printable
from zlh_api.dns.model import FoundRecord
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark
from zlh_common.schema.audit import AuditPart

NO_PROVIDER = "No DNS provider is configured."


class RecordSurveys:
    """Asks every provider, or remembers what it has said."""

    def __init__(self, inventories: Sequence[RecordInventory], clock: Clock, *, timeout_s: float) -> None:
        self._inventories = tuple(inventories)
        self._clock = clock
        self._timeout_s = timeout_s
        self._taken: dict[str, tuple[float, RecordSurvey]] = {}

    async def look(
        self, began: datetime, fences: Mapping[UUID, int]
    ) -> tuple[tuple[RecordSurvey, ...], tuple[AuditPart, ...]]:
        """Return what was seen where, and how it went; one that is away hides no other."""
        if not self._inventories:
            return (), (AuditPart(name=RECORDS, count=None, trouble=NO_PROVIDER),)
        looks = await asyncio.gather(*(self._look_at(each, began, fences) for each in self._inventories))
        return tuple(survey for survey, _ in looks if survey is not None), tuple(part for _, part in looks)

    def forget(self, owner: OwnerMark) -> None:
        """Remember nothing of a mark: what carried it was taken away."""
        for name, (taken_at, survey) in self._taken.items():
            if any(record.owner == owner for record in survey.found):
                left = tuple(record for record in survey.found if record.owner != owner)
                self._taken[name] = (taken_at, replace(survey, found=left))

    async def _look_at(
        self, inventory: RecordInventory, began: datetime, fences: Mapping[UUID, int]
    ) -> tuple[RecordSurvey | None, AuditPart]:
        name, now = inventory.setting.name, self._clock.monotonic()
        part_name = records_part(name)
        taken_at, survey = self._taken.get(name, (0.0, None))
        if survey is None or now - taken_at >= inventory.survey_every_s:
            self._taken.pop(name, None)
            try:
                async with asyncio.timeout(self._timeout_s):
                    found = await inventory.survey()
            except ZlhError as error:
                return None, AuditPart(name=part_name, count=None, trouble=error.detail)
            except TimeoutError:
                trouble = f"It did not answer within {self._timeout_s:.0f} s."
                return None, AuditPart(name=part_name, count=None, trouble=trouble)
            survey = RecordSurvey(name, began, fences, tuple(map(_read_stranger, found)))
            self._taken[name] = (now, survey)
        return survey, AuditPart(name=part_name, count=len(survey.found))


def _read_stranger(record: FoundRecord) -> FoundRecord:
    """Names and contents that are no text are made one: reports are JSON and stand in the database."""
    if record.name.isprintable() and record.content.isprintable():
        return record
    return replace(record, name=printable(record.name), content=printable(record.content))
