"""Whole agents under their launcher: brought to another version while a process runs, and back by themselves."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from component.agent.harness import AgentProcess, code_of, eventually
from component.agent.lived import living, serving, update_of
from component.agent.update_harness import FIRST, SECOND, THIRD
from fakes.agent_bundles import Bundle
from zlh_agent.launcher import OVERDUE_S
from zlh_common.schema.agent_update import AgentUpdateState, StartAgentUpdate
from zlh_common.schema.structs import encode

pytestmark = pytest.mark.timeout(240)
STATE = AgentUpdateState
APP = "zlh_agent/app/serve.py"


async def test_a_process_goes_on_while_its_agent_becomes_another(tmp_path: Path) -> None:
    """Its pid stays, its restarts are none, and its console has what it printed before; the version is the new one."""
    async with living(tmp_path) as lived:
        pid = await lived.pid()
        before = await lived.agent.status()
        assert before.agent is not None
        assert (before.agent.version, before.agent.fixed_because, before.agent_version) == (FIRST, None, FIRST)
        status, _ = await lived.told(SECOND)
        assert status == 202
        after = await lived.until_update(STATE.DONE)
        assert (after.agent_version, after.processes[0].pid, after.processes[0].restarts) == (SECOND, pid, 0)
        assert after.agent is not None
        assert (after.agent.previous, lived.unit.starts) == (FIRST, 2)
        code, history = await lived.agent.call("GET", "/processes/sleeper/history")
        assert (code, b"dXAN" in history or b"up" in history) == (200, True)
        code, said = await lived.told(FIRST)
        assert (code, code_of(said)) == (409, "agent_update_older")
        await lived.unit.stop()
        lived.unit.start()
        await serving(lived)
        assert (await lived.agent.status()).agent_version == SECOND
        assert await lived.pid() == pid


BROKEN = {
    # At import, by an error that no test of it saw.
    "import": {APP: "\nraise ImportError('a library that is not there')\n"},
    "exits": {APP: "\nraise SystemExit(3)\n"},
    "killed": {APP: "\nimport os\nos.kill(os.getpid(), 11)\n"},
    "dies later": {APP: "\nimport signal\nsignal.setitimer(signal.ITIMER_REAL, 4.0)\n"},
}  # fmt: skip


@pytest.mark.parametrize("how", ["import", "exits", "killed", "dies later"])
async def test_a_broken_version_is_undone_by_itself(how: str, tmp_path: Path) -> None:
    """The former one runs again, tells why with the last words, and the process has not noticed anything."""
    async with living(tmp_path, probation_s=3600.0) as lived:
        pid = await lived.pid()
        await lived.offer(Bundle(THIRD, BROKEN[how]))
        assert (await lived.told(THIRD))[0] == 202
        after = await lived.until_update(STATE.UNDONE)
        update = update_of(after)
        assert update is not None
        assert (after.agent_version, update.version, update.before) == (FIRST, THIRD, FIRST)
        assert update.code == "agent_update_ended"
        assert THIRD in (update.message or "")
        if how == "exits":
            assert update.exit_code == 3
        if how == "import":
            assert "a library that is not there" in (update.output or "")
        assert (await lived.pid(), after.processes[0].restarts) == (pid, 0)
        # A good one is taken after that.
        await lived.offer(Bundle("1.4.0"))
        assert (await lived.told("1.4.0"))[0] == 202
        await lived.until_update(STATE.PROBATION)
        assert await lived.pid() == pid


async def test_one_that_hangs_is_overdue(tmp_path: Path) -> None:
    """It neither serves nor ends; when the timer runs out the former one is started."""
    async with living(tmp_path) as lived:
        pid = await lived.pid()
        await lived.offer(Bundle(THIRD, {APP: "\nimport time\ntime.sleep(1000)\n"}))
        await lived.told(THIRD)
        await eventually(lambda: any(f"--on-active={OVERDUE_S}" in line for line in lived.unit.asked()))
        await lived.unit.run_launcher("overdue")
        assert any(line.startswith("restart") for line in lived.unit.asked())
        lived.unit.tell(jobs=" 7 zlh-agent.service restart running\n")
        assert lived.unit.process is not None
        lived.unit.process.send_signal(signal.SIGKILL)
        after = await lived.until_update(STATE.UNDONE)
        update = update_of(after)
        assert update is not None
        assert (update.code, after.agent_version, await lived.pid()) == ("agent_update_overdue", FIRST, pid)


async def test_who_stops_the_container_undoes_nothing(tmp_path: Path) -> None:
    """A stop, and a power cut, in the probation: the proof begins again, and ends well."""
    async with living(tmp_path, probation_s=3600.0) as lived:
        pid = await lived.pid()
        await lived.told(SECOND)
        await lived.until_update(STATE.PROBATION)
        await lived.unit.stop()
        lived.unit.start()
        await lived.until_update(STATE.PROBATION)
        await lived.unit.power_off()
        text = lived.agent.config.read_text()
        lived.agent.config.write_text(text.replace("update_probation_s = 3600.0", "update_probation_s = 0.1"))
        lived.unit.start()
        after = await lived.until_update(STATE.DONE)
        assert (after.agent_version, await lived.pid()) == (SECOND, pid)


async def test_an_agent_without_its_launcher_stays_what_it_is(agent: AgentProcess) -> None:
    """As under the process driver: its code is a checkout's, which the status says, and `POST /update` too."""
    status = await agent.status()
    assert status.agent is not None
    assert "no bundle of its own" in (status.agent.fixed_because or "")
    code, said = await agent.call("POST", "/update", data=encode(StartAgentUpdate(version=SECOND)))
    assert (code, code_of(said)) == (409, "agent_update_fixed")
    code, said = await agent.call("POST", "/update", data=b'{"version": "/etc"}')
    assert (code, code_of(said)) == (400, "invalid_body")
