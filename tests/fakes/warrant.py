"""A right to act that ends when the test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from zlh_api.drivers.port import GuestPlan, SlotBusy
from zlh_api.reconcile.model import LeaseLost


class FakeWarrant:
    """Keeps notes in memory, and slots over all warrants that share a dictionary."""

    def __init__(self, plan: GuestPlan, slots: dict[str, FakeWarrant] | None = None) -> None:
        self._plan = plan
        self._slots = slots if slots is not None else {}
        self.notes = dict(plan.notes)
        self.is_lost = False
        # How many more effects it allows; None is any number.
        self.effects_left: int | None = None

    @property
    def plan(self) -> GuestPlan:
        """The plan with what was noted since."""
        return replace(self._plan, notes=dict(self.notes))

    def check(self) -> None:
        """Raise LeaseLost once it is lost."""
        if self.effects_left is not None:
            self.is_lost = self.is_lost or self.effects_left == 0
            self.effects_left -= 1
        if self.is_lost:
            raise LeaseLost(self._plan.vmid)

    async def note(self, key: str, value: str | None) -> None:
        """Keep a note."""
        self.check()
        if value is None:
            self.notes.pop(key, None)
        else:
            self.notes[key] = value

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Hold a slot alone."""
        if self._slots.setdefault(name, self) is not self:
            raise SlotBusy(name)
        try:
            yield
        finally:
            self._slots.pop(name, None)
