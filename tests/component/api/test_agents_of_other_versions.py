"""Agents that are truly another version, in what they say, take and keep, below today's API: real ones of either side.

They are made of today's code, by changing what a release changes: the protocol, fields and words of the report, and
calls. Each lives in a container of the process driver that a real reconciler has made.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fakes.agent_bundles import Bundle
from faults.authority.installation import Installation, open_installation
from zlh_api.agents.authority import Authority
from zlh_api.agents.client import AgentClient, AgentRefused
from zlh_api.agents.pins import RowPins
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_api.containers.status import find_degradations
from zlh_api.marked_processes import find_marked
from zlh_common import __version__
from zlh_common.clock import SystemClock
from zlh_common.names import CONTAINER_MARK, OwnerMark
from zlh_common.schema.agent_update import StartAgentUpdate
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.status import PROTOCOL_VERSION
from zlh_common.schema.structs import encode
from zlh_common.schema.terminal import OpenTerminal

pytestmark = pytest.mark.timeout(400)
STATUS, REPORT, UPDATE = (
    "zlh_common/schema/status.py",
    "zlh_agent/status/service.py",
    "zlh_agent/update/routes.py",
)
NOW = f"PROTOCOL_VERSION = {PROTOCOL_VERSION}"
EARLIER, LATER = "0.0.1", "99.0.0"
# Knows nothing of its own updates, as agents before protocol 10: neither the call nor the part of the report.
FORMER = Bundle(
    EARLIER,
    changed={
        STATUS: ((NOW, "PROTOCOL_VERSION = 9"), ("    agent: AgentSoftware | None = None\n", "")),
        REPORT: (("            agent=self.agent(),\n", ""),),
        UPDATE: (('[web.post("/update", start)]', "[]"),),
    },
)
# Says a state, a step and fields that nobody knows yet, and has moved a call elsewhere.
NEXT = Bundle(
    LATER,
    changed={
        STATUS: (
            (NOW, f"PROTOCOL_VERSION = {PROTOCOL_VERSION + 1}"),
            ('    """The position of one named step."""\n\n', '    """One."""\n\n    PONDERING = "pondering"\n'),
            ("    unknown_fields: tuple[str, ...] = ()\n\n\nclass ProvisioningError", (
                "    unknown_fields: tuple[str, ...] = ()\n    moods: tuple[str, ...] = ()\n\n\nclass ProvisioningError"
            )),
        ),
        REPORT: (
            (
                "            unknown_fields=spec.unknown_fields,\n",
                "            unknown_fields=spec.unknown_fields,\n            moods=('calm', 'keen'),\n",
            ),
            (
                "            steps=(*spec.steps, ",
                "            steps=(Step(name='ponder', state=StepState.PONDERING), *spec.steps, ",
            ),
            ("ProcessStatus, Step\n", "ProcessStatus, Step, StepState\n"),
        ),
        UPDATE: (('web.post("/update"', 'web.post("/later/update"'),),
    },
)  # fmt: skip
TODAY = Bundle(__version__)
SLEEPER = WantedProcess(name="sleeper", argv=("sleep", "1000000"))


class Fleet:
    """One container whose agent is of the version that `current` leads to."""

    def __init__(self, made: Installation, bundles: Path, owner: OwnerMark, client: AgentClient) -> None:
        self._made, self._bundles, self._owner, self._client = made, bundles, owner, client

    async def call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Ask the agent as the API does."""
        answer = await self._client.call(await self._made.address(self._owner), method, path, body=body)
        return json.loads(answer) if answer else None

    async def status(self) -> dict[str, Any]:
        """Return what the API keeps of the agent's report."""
        rows = await self._made.fetch(
            "select agent_status::text as told from containers where owner = $1", UUID(self._owner)
        )
        found: dict[str, Any] = json.loads(rows[0]["told"])
        return found

    async def degradations(self) -> tuple[str, ...]:
        """Return what the API says is wrong with the container."""
        async with self._made.database.connection() as connection:
            container = await containers.find_by_owner(connection, self._owner)
        assert container is not None
        return find_degradations(container)

    async def pids(self, terminal: str) -> tuple[int, int]:
        """Return the pids of the process and of a terminal's shell, once both run."""
        async with asyncio.timeout(90):
            while True:
                told = await self.call("GET", "/status")
                process = [each["pid"] for each in told["processes"] if each["name"] == SLEEPER.name]
                shell = [each["pid"] for each in told["terminals"] if each["id"] == terminal]
                if None not in (found := (*process, *shell)) and len(found) == 2:
                    return process[0], shell[0]
                await asyncio.sleep(0.05)

    async def want_process(self) -> None:
        """Want a process."""
        async with self._made.database.transaction() as connection:
            await containers.update_processes(connection, self._owner, (SLEEPER,))

    async def become(self, version: str) -> None:
        """Let the agent be of another version from its next start on, kill it, and wait until that is heard."""
        await asyncio.to_thread(point, self._bundles, version)
        await asyncio.to_thread(self._kill)
        await self.until_heard(version)

    def _kill(self) -> None:
        for found in find_marked(CONTAINER_MARK, self._owner):
            # What has ended meanwhile is no agent.
            with suppress(OSError):
                argv = Path(f"/proc/{found.pid}/cmdline").read_bytes().split(b"\0")
                if b"zlh_agent" in argv and b"--config" in argv:
                    os.kill(found.pid, signal.SIGKILL)

    async def until_heard(self, version: str) -> None:
        """Wait until this version is heard, and has reached the spec."""
        await self._made.wait_until(
            "select connection = 'online' and guest = 'running' and agent_status->>'agentVersion' = $2 "
            "and (agent_status->>'observedGeneration')::bigint = spec_generation from containers where owner = $1",
            UUID(self._owner),
            version,
        )

    async def cycle(self) -> None:
        """Turn the container off and on."""
        await self._made.switch(self._owner, Power.OFF)
        await self._made.wait_until("select guest = 'stopped' from containers where owner = $1", UUID(self._owner))
        await self._made.switch(self._owner, Power.ON)
        await self._made.wait_online(self._owner)


def point(bundles: Path, version: str) -> None:
    """Let `current` lead to a version."""
    (bundles / ".next").symlink_to(version)
    (bundles / ".next").rename(bundles / "current")


@asynccontextmanager
async def running(first: Bundle, dsn: str, folder: Path) -> AsyncIterator[Fleet]:
    """Run an API and a container whose agent is of that version; that of today lies beside it."""
    bundles, place = folder / "bundles", folder / "place"
    bundles.mkdir()
    place.mkdir()
    for bundle in (first, TODAY):
        await asyncio.to_thread(bundle.unpack, bundles)
    point(bundles, first.version)
    async with open_installation(dsn, place, python=str(bundles / "current/bin/python3")) as made:
        await made.apis[0].start()
        owner = await made.create()
        await made.wait_online(owner)
        authority = await asyncio.to_thread(Authority, made.place.keys, SystemClock())
        context = await asyncio.to_thread(authority.client_context)
        async with AgentClient(context, RowPins(made.database)) as client:
            fleet = Fleet(made, bundles, owner, client)
            await fleet.until_heard(first.version)
            yield fleet


@pytest.mark.parametrize(
    ("bundle", "protocol", "wrong"),
    [(FORMER, 9, ()), (NEXT, PROTOCOL_VERSION + 1, ("agent_newer",))],
    ids=["former", "next"],
)
async def test_an_agent_of_another_version_lives_and_becomes_todays(
    bundle: Bundle, protocol: int, wrong: tuple[str, ...], dsn: str, tmp_path: Path
) -> None:
    """It is made, heard, turned off and on, and has files and terminals; then today's takes all of it up, and back."""
    async with running(bundle, dsn, tmp_path) as fleet:
        told = await fleet.status()
        assert (told["protocolVersion"], "moods" in told) == (protocol, False)
        assert [step["name"] for step in told["steps"] if step["name"] == "ponder"] == []
        assert await fleet.degradations() == wrong
        await fleet.cycle()
        await fleet.call("PUT", "/files/content?path=/kept.txt", b"kept")
        terminal = (await fleet.call("POST", "/terminals", encode(OpenTerminal())))["id"]
        with pytest.raises(AgentRefused):
            await fleet.call("POST", "/update", encode(StartAgentUpdate(version=LATER)))
        await fleet.want_process()
        pids = await fleet.pids(terminal)
        for version in (TODAY.version, bundle.version):
            await fleet.become(version)
            assert await fleet.pids(terminal) == pids
            listed = await fleet.call("GET", "/files?path=/")
            assert "kept.txt" in [entry["name"] for entry in listed["entries"]]
        assert await fleet.degradations() == wrong
