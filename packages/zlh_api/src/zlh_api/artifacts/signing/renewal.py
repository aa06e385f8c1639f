"""Keeping the short-lived signatures of a tree fresh: one child a day signs, so that no daemon ever holds tuf."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from zlh_api.artifacts.rules import is_refresh_due
from zlh_api.short_child import run_child
from zlh_common.clock import Clock, SystemClock
from zlh_common.errors import ZlhError

log = structlog.get_logger()

# How often the wall clock is looked at; a laptop that slept for a week is back in time within these seconds.
LOOK_EVERY_S = 300.0
RESIGN_TIMEOUT_S = 120.0


class ResignFailed(ZlhError):
    """The catalog's signatures could not be renewed."""

    code = "artifacts_resign_failed"

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The catalog could not be signed again: {reason}")


class Renewal:
    """Renews the signatures of one tree: when it is told to, and then every day."""

    def __init__(self, folder: Path, keys: Path, *, clock: Clock | None = None) -> None:
        self._folder, self._keys, self._clock = folder, keys, clock or SystemClock()
        self._renewed: datetime | None = None
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """What an operator must see to, or None: the last run failed, or a key is needed that is not here."""
        return self._trouble

    async def renew(self) -> None:
        """Have the signatures renewed by a child now; raise ResignFailed where that does not work."""
        try:
            done = await self._run_child()
        except ResignFailed as exc:
            self._trouble = exc.detail
            raise
        self._renewed = self._clock.now()
        self._trouble = None
        log.info("artifacts.catalog_resigned", **done)
        if done.get("needs_targets_key"):
            self._trouble = (
                f"The yearly signature of the catalog holds until {done['targets_expires']}, and the targets key is "
                "not here: bring it, and run `zlh-api artifacts publish`."
            )
            log.warning("artifacts.targets_key_needed", targets_expires=done["targets_expires"])

    async def try_renew(self) -> None:
        """Do the same, and write down a failure instead of raising it: clients believe the last one for days."""
        try:
            await self.renew()
        except ResignFailed as exc:
            log.warning("artifacts.resign_failed", code=exc.code, error=exc.detail)

    async def run(self) -> None:
        """Renew for ever, whenever a day has passed by the wall clock; a failure is tried again at the next look."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if is_refresh_due(self._renewed, self._clock.now()):
                await self.try_renew()

    async def _run_child(self) -> dict[str, object]:
        program = (sys.executable, "-I", "-m", "zlh_api.artifacts.signing.resign")
        try:
            child = await run_child([*program, str(self._folder), str(self._keys)], timeout_s=RESIGN_TIMEOUT_S)
        except TimeoutError as exc:
            raise ResignFailed(reason=f"no end after {RESIGN_TIMEOUT_S:.0f} s") from exc
        if child.code != 0:
            raise ResignFailed(reason=_reason(child.out, child.err))
        done: dict[str, object] = msgspec.json.decode(child.out)
        return done


def _reason(out: bytes, err: bytes) -> str:
    try:
        return str(msgspec.json.decode(out)["detail"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        lines = err.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "the child says nothing"
