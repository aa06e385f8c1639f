"""Installed versions in memory: changes that fail, hang, or are killed after they took effect, to order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from fakes.clock import FakeClock
from zlh_agent.paths import ContainerPaths
from zlh_agent.runtimes.errors import RuntimeChildFailed, RuntimeUseUnknown
from zlh_agent.runtimes.installing.installer import InstallFailed, Progress
from zlh_agent.runtimes.model import FailedLine
from zlh_agent.runtimes.plan import Held, Version
from zlh_agent.runtimes.service import InstallSource, RuntimeService
from zlh_common.schema.runtime import RuntimeUser
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import InstalledRuntime


class FakeRuntimes(RuntimeService):
    """What the spec's loop sees of runtimes."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(ContainerPaths(Path("/nowhere")), InstallSource(("",), Path("/nowhere"), ()), clock)
        self.disk: dict[Version, Held] = {}
        self.used: dict[Version, list[RuntimeUser]] = {}
        # Whether nobody can tell who uses what.
        self.is_use_unknown = False
        # Called when it was looked who uses what, before that is known to whoever asked.
        self.after_look: Callable[[], None] = lambda: None
        self.calls: list[str] = []
        # Call → how it goes: a code of a failure, after its effect where it begins with `late:`; `hang` is for ever.
        self.orders: dict[str, list[str]] = {}
        self.may_pass = True
        self.hanging = asyncio.Event()
        self.has_downloads = False

    def held(self) -> list[Held]:
        """See RuntimeService."""
        return list(self.disk.values())

    def find(self, name: str, version: str) -> InstalledRuntime | None:
        """See RuntimeService."""
        held = self.disk.get((name, version))
        return None if held is None else InstalledRuntime(
            name=name, version=version, default=held.is_current, verified=True, size=1, sha256="0" * 64, source="",
            installed_at=FakeClock().now(),
        )  # fmt: skip

    async def find_users(self) -> dict[Version, list[RuntimeUser]]:
        """See RuntimeService."""
        if self.is_use_unknown:
            raise RuntimeUseUnknown
        found = {key: users for key, users in self.used.items() if users}
        self.after_look()
        return found

    async def install(self, wanted: WantedRuntime, *, on_progress: Callable[[Progress], None]) -> None:
        """See RuntimeService."""

        def effect() -> None:
            key = wanted.name, wanted.version
            self.disk[key] = Held(*key, is_current=False, attempt=wanted.attempt)
            if wanted.default:
                self._switch(*key)

        self.has_downloads = True
        code = await self._call(f"install {wanted.name} {wanted.version}", effect)
        if code:
            raise InstallFailed(FailedLine(code=code, detail=code, retryable=self.may_pass))

    async def remove(self, name: str, version: str) -> None:
        """See RuntimeService."""
        code = await self._call(f"remove {name} {version}", lambda: self.disk.pop((name, version), None))
        if code:
            raise RuntimeChildFailed(reason_code=code, message=code, may_pass=self.may_pass)

    async def tidy(self) -> None:
        """See RuntimeService."""
        self.calls.append("tidy")

    async def forget_downloads(self) -> None:
        """See RuntimeService."""
        self.has_downloads = False

    async def _call(self, name: str, effect: Callable[[], object]) -> str:
        self.calls.append(name)
        orders = self.orders.get(name, [])
        order = orders.pop(0) if orders else ""
        if order == "hang":
            self.hanging.set()
            await asyncio.Event().wait()
        if not order or order.startswith("late:"):
            effect()
        return order.removeprefix("late:")

    def _switch(self, name: str, version: str) -> None:
        for key, held in self.disk.items():
            if key[0] == name:
                self.disk[key] = Held(*key, is_current=key[1] == version, attempt=held.attempt, is_whole=held.is_whole)
