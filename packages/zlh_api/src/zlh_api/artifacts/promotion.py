"""Decisions about published versions, where the API has the tree and the key for that; made by a child each."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import msgspec
import structlog

from zlh_api.short_child import run_child
from zlh_common.errors import ZlhError
from zlh_common.schema.catalog_decisions import DecidedVersion, DecideVersion, DecisionAct
from zlh_common.schema.structs import convert

log = structlog.get_logger()
# Longer than one decision waits for another that changes the same tree.
DECIDE_TIMEOUT_S = 120.0
TARGETS_KEY = "targets.pem"


class TargetsKeyAbsent(ZlhError):
    """The API does not have what signs the catalog; a command beside the key does it."""

    code, status = "targets_key_absent", 409

    def __init__(self, command: str) -> None:
        super().__init__(
            "The key that signs what is offered is not on the API's machine. Run this where it is: " + command,
            command=command,
        )


class DecisionRefused(ZlhError):
    """The decision does not fit to what is published; `reasonCode` says why."""

    code, status = "decision_refused", 409

    def __init__(self, *, reason_code: str, detail: str) -> None:
        super().__init__(detail, reasonCode=reason_code)


class DecisionUnsure(ZlhError):
    """Whoever was to decide ended without a word; what is offered is the old or the new."""

    code, status, retryable = "decision_unsure", 502, True

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Nobody can say whether it was decided ({reason}). Look at the catalog; doing it again does no harm."
        )


class Promotion:
    """Decides about what one tree offers."""

    def __init__(self, folder: Path | None, keys: Path | None) -> None:
        self._folder, self._keys = folder, keys

    @property
    def command_options(self) -> str:
        """What `zlh-api artifacts` has to be told to find the tree and its keys."""
        folder, keys = self._folder or "TREE", self._keys or "KEYS"
        return f"--dir {shlex.quote(str(folder))} --keys {shlex.quote(str(keys))}"

    async def may_sign(self) -> bool:
        """Tell whether the tree and the key are here."""
        if self._folder is None or self._keys is None:
            return False
        return await asyncio.to_thread((self._keys / TARGETS_KEY).is_file)

    async def decide(self, wish: DecideVersion) -> DecidedVersion:
        """Decide, sign and publish; raise TargetsKeyAbsent, DecisionRefused or DecisionUnsure."""
        if not await self.may_sign():
            raise TargetsKeyAbsent(render_command(wish, self.command_options))
        order = msgspec.json.encode({"folder": str(self._folder), "keys": str(self._keys), "wish": wish})
        command = [sys.executable, "-m", "zlh_api.artifacts.signing.decide_child"]
        try:
            child = await run_child(command, timeout_s=DECIDE_TIMEOUT_S, stdin=order)
        except TimeoutError as exc:
            raise DecisionUnsure(f"no answer within {DECIDE_TIMEOUT_S:.0f} s") from exc
        if child.code != 0 or not child.out:
            log.error("catalog.decision_broke", code=child.code, said=child.err.decode("utf-8", "replace")[-2000:])
            raise DecisionUnsure(f"it ended with {child.code}; the API's log has the details")
        answer = msgspec.json.decode(child.out)
        if "decided" not in answer:
            raise DecisionRefused(reason_code=answer["code"], detail=answer["detail"])
        return convert(answer["decided"], DecidedVersion)


def render_command(wish: DecideVersion, options: str) -> str:
    """Return the command that makes the same decision."""
    also = " --default" if wish.act is DecisionAct.PROMOTE and wish.make_default else ""
    return f"zlh-api artifacts {wish.act.value} {wish.name} {wish.version} --kind {wish.kind}{also} {options}"
