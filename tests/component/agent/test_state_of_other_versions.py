"""An agent finds what a newer version has written before it was undone: it reads that or sets it aside, and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from component.agent.harness import AgentProcess, eventually
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.spec import WantedRuntime

pytestmark = pytest.mark.timeout(180)
SLEEPER = WantedProcess(name="sleeper", argv=("/bin/sh", "-c", "echo up; exec sleep 1000"))
TINY = WantedRuntime(name="tiny", version="1.0")


def read_documents(root: Path) -> dict[Path, list[Any]]:
    """Return every file of JSON objects in the agent's state and the records of installs: one object, or one a line."""
    found = {}
    trees = list((root / "opt/zlh/runtimes").rglob(".zlh-record.json"))
    for path in [*(root / "var/lib/zlh").rglob("*"), *trees]:
        # What TUF has signed is not ours to add to.
        if path.is_file() and "catalog" not in path.parts:
            try:
                lines = path.read_text().splitlines()
                documents = [json.loads(line) for line in lines]
            except ValueError:
                continue
            if documents and all(isinstance(each, dict) for each in documents):
                found[path] = documents
    return found


def add_fields(value: Any) -> Any:
    """Return a value with one more field in each of its objects, however deep; a text, since some of them are maps."""
    if isinstance(value, dict):
        return {name: add_fields(held) for name, held in value.items()} | {"ofTheFuture": "new"}
    return [add_fields(each) for each in value] if isinstance(value, list) else value


def replace(_value: Any) -> Any:
    """Return an object that says nothing that an agent of today knows."""
    return {"format": 99, "of": "another version"}


def rewrite(root: Path, change: Callable[[Any], Any]) -> set[str]:
    """Change every document; return the names of the files."""
    documents = read_documents(root)
    for path, held in documents.items():
        path.write_text("".join(json.dumps(change(each)) + "\n" for each in held))
    return {path.name for path in documents}


async def live(agent: AgentProcess) -> int:
    """Have an agent do what leaves something in each of its stores; return the pid of its process."""
    await agent.want_versions(TINY, processes=(SLEEPER,))
    await agent.settled()
    status = await agent.until(lambda seen: bool(seen.processes) and seen.processes[0].pid is not None)
    assert (await agent.call("POST", "/runtimes/tiny/1.0/verify"))[0] == 200
    assert (await agent.call("POST", "/terminals", json={"cols": 80, "rows": 24}))[0] == 201
    folder = agent.root / "var/lib/zlh/update"
    folder.mkdir(mode=0o700)
    order = {"version": "1.0.0", "attempt": 0, "before": "0.9.0", "startedAt": "2026-01-01T00:00:00Z",
             "finishedAt": "2026-01-01T00:00:00Z", "code": "disk_full", "isNoted": True}  # fmt: skip
    (folder / "order.json").write_text(json.dumps(order))
    handover = {"version": "1.0.0", "attempt": 0, "bootId": "b", "specGeneration": 1, "shims": []}
    (folder / "handover.json").write_text(json.dumps(handover))
    (folder / "state.json").write_text(json.dumps({"phase": "none", "highest": "0.9.0"}))
    assert status.processes[0].pid is not None
    return status.processes[0].pid


async def leave(agent: AgentProcess) -> None:
    """End everything that runs, as whoever follows can."""
    await agent.want()
    await agent.until(lambda status: not status.processes)
    for row in (await agent.status()).terminals:
        assert (await agent.call("DELETE", f"/terminals/{row.id}"))[0] == 204


async def test_what_a_newer_version_adds_is_left_out(agent: AgentProcess) -> None:
    """Nothing is lost or done again over fields that nobody knows, however deep they are."""
    pid = await live(agent)
    before = await agent.status()
    assert await agent.stop() == 0
    names = rewrite(agent.root, add_fields)
    assert names >= {"spec.json", "happenings.jsonl", ".zlh-record.json", "order.json", "handover.json", "state.json"}
    await agent.start()
    after = await agent.until(lambda seen: bool(seen.processes) and seen.processes[0].pid is not None)
    assert (after.processes[0].pid, after.processes[0].restarts) == (pid, 0)
    assert after.spec_generation == before.spec_generation
    assert [row.id for row in after.terminals] == [row.id for row in before.terminals]
    assert [(one.version, one.default) for one in after.runtimes] == [("1.0", True)]
    assert after.agent is not None
    assert after.agent.update is not None
    assert after.agent.update.code == "disk_full"
    await leave(agent)


async def test_what_a_newer_version_writes_otherwise_is_set_aside(agent: AgentProcess) -> None:
    """The agent serves and takes the next spec; a program that runs is taken up again by that, and never runs twice."""
    pid = await live(agent)
    assert await agent.stop() == 0
    assert rewrite(agent.root, replace)
    await agent.start()
    generation = (await agent.status()).spec_generation
    agent.generation = max(agent.generation, generation)
    await agent.want_versions(TINY, processes=(SLEEPER,))
    await agent.settled()
    after = await agent.until(lambda seen: bool(seen.processes) and seen.processes[0].pid is not None)
    assert (await agent.call("GET", "/terminals"))[0] == 200
    if after.processes[0].pid != pid:
        # Without its spec nobody wanted the process, so it was ended: never are there two.
        await eventually(lambda: not Path(f"/proc/{pid}").exists())
    await leave(agent)
