"""Everything that the driver does to this host goes through here: one place where the right to do it is asked.

A proof that kills the API after each effect in turn counts them here; so whatever changes anything, changes it by
`act` or `run`. Looking changes nothing and asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

from zlh_api.drivers.port import GuestFailed, Right
from zlh_api.short_child import Finished, run_child

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
RUN_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 20.0


class OwnRight:
    """For what all guests share, and for a host that shuts down."""

    def check(self) -> None:
        """Allow it."""


class Host:
    """This host, as programs and files."""

    async def act(
        self, right: Right, what: str, function: Callable[[Unpack[Arguments]], Result], *arguments: *Arguments
    ) -> Result:
        """Have a thread change something; raise GuestFailed."""
        right.check()
        try:
            return await asyncio.to_thread(function, *arguments)
        except OSError as exc:
            raise GuestFailed(what=what, reason=_say(exc)) from exc

    async def run(
        self, right: Right, what: str, *command: str, stdin: bytes = b"", timeout_s: float = RUN_TIMEOUT_S
    ) -> str:
        """Have a program change something and return what it printed; raise GuestFailed."""
        right.check()
        done = await self.ask(*command, stdin=stdin, timeout_s=timeout_s)
        if done.code != 0:
            said = (done.err or done.out).decode("utf-8", "replace").strip()
            raise GuestFailed(what=what, reason=f"{command[0]} ended with {done.code}", output=said[-4000:] or None)
        return done.out.decode("utf-8", "replace")

    async def ask(self, *command: str, stdin: bytes = b"", timeout_s: float = ASK_TIMEOUT_S) -> Finished:
        """Run a program that only looks, to its end; raise GuestFailed where it does not come to one."""
        try:
            return await run_child(command, timeout_s=timeout_s, stdin=stdin, env=ENVIRONMENT)
        except TimeoutError as exc:
            raise GuestFailed(what=command[0], reason=f"it has not ended after {timeout_s:.0f} s") from exc
        except OSError as exc:
            raise GuestFailed(what=command[0], reason=_say(exc)) from exc


def _say(exc: OSError) -> str:
    where = f" ({exc.filename})" if exc.filename else ""
    return f"{exc.strerror or exc}{where}"
