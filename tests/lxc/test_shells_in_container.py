"""In a real container every kind of shell and program finds the same, from before a runtime comes until it has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import WSMsgType
from msgspec.structs import replace

from fakes.runtime_shop import RuntimeShop, make_shop
from lxc.guest import PATIENCE_S, Guest, running_guest
from lxc.own_host import OwnHost
from lxc.shell_matrix import Found, ask_all, ask_cron, ask_processes, prepare, process_of_the_agent
from lxc.test_installs_in_container import served
from zlh_agent.shells.system_file_rules import PATH
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_common.names import agent_name
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.console_wire import SUBPROTOCOL
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.resources import Resources
from zlh_common.schema.shells import ShellCheck, ShellReport
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import StepState

pytestmark = [pytest.mark.real("root"), pytest.mark.real("lxc"), pytest.mark.timeout(400)]
NODE_20, NODE_24, JAVA = "20.18.0", "24.19.0", "25.0.2"
JAVA_HOME = "/opt/zlh/runtimes/java/current"


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A shop with two versions of a tiny runtime."""
    return make_shop(tmp_path / "shop", "1.0", "2.0")


@pytest.fixture
async def guest(host: OwnHost, shop: RuntimeShop) -> AsyncIterator[Guest]:
    """A container whose agent is online, and installs from the shop."""
    with served(shop.tree, host.settings.gateway, host.settings.artifacts_port):
        async with running_guest(host, resources=Resources(memory_mib=2048), trusted_root=shop.trusted_root) as guest:
            await guest.wait_online()
            yield guest


def stock(shop: RuntimeShop) -> None:
    """Build real runtimes, and publish them."""
    book = RecipeBook()
    labels = [f"node-{NODE_20}", f"node-{NODE_24}", f"java-{JAVA}"]
    build_artifacts(shop.tree, book, book.choose(labels), platforms=[this_platform()])
    shop.publish()


async def bring(guest: Guest, *wanted: WantedRuntime, processes: tuple[WantedProcess, ...] = ()) -> datetime:
    """Want these runtimes, and wait for them; return when that began."""
    began = datetime.now(UTC)
    await guest.want(runtimes=wanted, processes=processes)
    async with asyncio.timeout(2 * PATIENCE_S):
        while (await guest.status()).observed_generation != guest.generation:
            await asyncio.sleep(0.1)
    return began


async def look(guest: Guest, since: datetime) -> ShellReport:
    """Return what the agent itself has found since then."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while (report := (await guest.status()).shells) is None or report.checked_at < since:
            await asyncio.sleep(0.1)
    return report


async def check_all(guest: Guest, expected: Found, began: datetime) -> None:
    """Hold every kind of shell against what it should find, by real means and by the agent's own look."""
    found = {**await ask_all(guest), **await ask_processes(guest)}
    assert found == dict.fromkeys(found, expected)
    assert len(found) == 21
    report = await look(guest, began)
    assert [check for check in report.checks if not check.ok] == []
    assert {"terminal", "login", "script", "sh", "ssh", "cron", "unit", "zsh", "fish"} <= {
        check.mode for check in report.checks
    }


def expectation(node: str = "", *, java: bool = False) -> Found:
    """Return what is found with this version of node, and with java or not."""
    return {
        "node": "/usr/local/bin/node" if node else "",
        "npm": "/usr/local/bin/npm" if node else "",
        "version": f"v{node}" if node else "",
        "java": "/usr/local/bin/java" if java else "",
        "JAVA_HOME": JAVA_HOME if java else "",
        "PATH": PATH,
    }


# Runtimes are fetched and packed within, and every kind of shell is started six times over.
@pytest.mark.timeout(1200)
@pytest.mark.real("package-index")
async def test_every_kind_of_shell_finds_the_same_at_any_time(guest: Guest, shop: RuntimeShop) -> None:
    """Before and after install, upgrade, rollback and removal: command, version, variable and order of PATH."""
    editor = (process_of_the_agent(),)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(stock, shop))
        began = await bring(guest, processes=editor)
        await prepare(guest)
        await check_all(guest, expectation(), began)
    old, new = WantedRuntime(name="node", version=NODE_20), WantedRuntime(name="node", version=NODE_24)
    java = WantedRuntime(name="java", version=JAVA)
    began = await bring(guest, old, java, processes=editor)
    await check_all(guest, expectation(NODE_20, java=True), began)
    # PATH of a job of sh is compiled into cron, so it finds the variables and no command; a line of the crontab holds.
    of_sh = await ask_cron(guest, "cron-sh")
    assert (of_sh["JAVA_HOME"], of_sh["PATH"], of_sh["node"]) == (JAVA_HOME, "/usr/bin:/bin", "")
    with_path = await ask_cron(guest, "cron-path")
    assert with_path == {**expectation(NODE_20, java=True), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    began = await bring(guest, new, replace(old, default=False, previous=True), java, processes=editor)
    await check_all(guest, expectation(NODE_24, java=True), began)
    began = await bring(guest, old, replace(new, default=False, previous=True), java, processes=editor)
    await check_all(guest, expectation(NODE_20, java=True), began)
    began = await bring(guest, old, processes=editor)
    await check_all(guest, expectation(NODE_20), began)
    began = await bring(guest, processes=editor)
    await check_all(guest, expectation(), began)
    assert await guest.inside("find", "/usr/local/bin", "-mindepth", "1") == ""


TINY = WantedRuntime(name="tiny", version="1.0")
# What is read by whom; those that read nothing of the customer's find all of it whatever he has written.
READS_BASHRC = {"terminal", "login interactive", "interactive", "login", "ssh", "code-server terminal"}


async def as_dev(guest: Guest, script: str) -> str:
    """Do something as the customer."""
    return await guest.inside("su", "dev", "-s", "/bin/sh", "-c", script)


# What is written into .bashrc, and what is said of the shells that read it.
SPOILT = {
    "exit 7": "ended",
    "exec sleep 100000": "in time",
    "exec /bin/true": "ended",
    "yes forever": "without end",
    "setsid sleep 100000 >/dev/null 2>&1 & kill -9 $$": "ended",
}


async def test_what_a_customer_writes_spoils_a_look_alone(guest: Guest) -> None:
    """What reads it has a problem, told as such; all others find everything, and nothing is left running."""
    units = ("systemctl", "list-units", "--all", "--plain", "--no-legend", "zlh-shells-*")
    for number, (line, words) in enumerate(SPOILT.items()):
        await guest.inside("/bin/sh", "-c", 'printf "%s\\n" "$1" >/home/dev/.bashrc', "sh", line)
        wanted = (TINY,) if number % 2 == 0 else ()
        began = datetime.now(UTC)
        await guest.want(runtimes=wanted)
        checks = {check.mode: check for check in (await look(guest, began)).checks}
        spoilt = {mode for mode, check in checks.items() if not check.ok}
        assert {"interactive", "code-server terminal", "ssh"} <= spoilt <= READS_BASHRC, line
        assert {mode for mode in spoilt if words not in (checks[mode].problem or "")} == set(), line
        # Another look may have begun meanwhile, and ends as well.
        async with asyncio.timeout(2 * PATIENCE_S):
            while await guest.inside("pgrep", "-u", "dev", check=False) or await guest.inside(*units):
                await asyncio.sleep(0.1)
        assert {step.state for step in (await guest.status()).steps} <= {StepState.DONE}


async def wrong(guest: Guest) -> list[ShellCheck]:
    """Return what was not right at the last look."""
    report = (await guest.status()).shells
    return [check for check in report.checks if not check.ok] if report is not None else []


async def test_what_is_not_ours_stays_and_is_told(guest: Guest) -> None:
    """A program of the customer's in the place of a command; once it has gone the command takes its place."""
    await guest.inside(
        "/bin/sh", "-c", "printf '#!/bin/sh\\necho mine\\n' >/usr/local/bin/tiny; chmod 755 /usr/local/bin/tiny"
    )
    await bring(guest, TINY)
    async with asyncio.timeout(2 * PATIENCE_S):
        while [check.mode for check in await wrong(guest)] != ["shells.command_foreign"]:
            await asyncio.sleep(0.1)
    assert await as_dev(guest, "tiny") == "mine"
    await guest.inside("rm", "/usr/local/bin/tiny")
    await guest.inside("systemctl", "restart", "zlh-agent")
    await guest.wait_online()
    async with asyncio.timeout(PATIENCE_S):
        while await guest.inside("su", "dev", "-c", "tiny", check=False) != "tiny 1.0":
            await asyncio.sleep(0.1)


async def test_a_start_of_the_agent_changes_nothing_that_is_as_it_should_be(guest: Guest) -> None:
    """No file is rewritten, systemd reads nothing anew; what an earlier version has left in the home folder goes."""
    await look(guest, await bring(guest, TINY))
    line = '[ -r "$HOME/.zlh/environment" ] && . "$HOME/.zlh/environment"  # zlh: runtimes on PATH'
    await as_dev(guest, f"mkdir -p ~/.zlh; echo x >~/.zlh/environment; printf '%s\\nmine\\n' '{line}' >~/.bashrc")
    times = ("find", "/etc", "/usr/local/bin", "-newermt", "@0", "-printf", "%p %C@\\n")
    before = sorted((await guest.inside(*times)).splitlines())
    reloads = ("journalctl", "--quiet", "--output=cat", "--grep=^Reloading", "_PID=1")
    told, began = await guest.inside(*reloads, check=False), datetime.now(UTC)
    await guest.inside("systemctl", "restart", "zlh-agent")
    await guest.wait_online()
    await look(guest, began)
    assert sorted((await guest.inside(*times)).splitlines()) == before
    assert await guest.inside(*reloads, check=False) == told
    assert await as_dev(guest, "cat ~/.bashrc; ls -A ~ | grep zlh || :") == "mine"


async def test_who_looks_at_a_terminal_is_told_and_its_shell_is_not(guest: Guest) -> None:
    """A switch is a notice beside the output, which comes into no history."""
    await look(guest, await bring(guest, TINY))
    two = WantedRuntime(name="tiny", version="2.0")
    async with (
        guest.client() as session,
        session.ws_connect(
            "/terminals/main", ssl=guest.tls, server_hostname=agent_name(guest.owner), protocols=(SUBPROTOCOL,)
        ) as socket,
    ):
        await guest.want(runtimes=(two, replace(TINY, default=False, previous=True)))
        async with asyncio.timeout(PATIENCE_S):
            while (message := await socket.receive()).type is not WSMsgType.TEXT or '"notice"' not in message.data:
                pass
        notice = json.loads(message.data)
    switched = "tiny is 2.0 now, after 1.0; this terminal uses it at once."
    assert notice["message"] == f"{switched} Programs that run keep what they were started with."
    history = json.loads(await guest.call("GET", "/terminals/main/history"))
    assert "after 1.0" not in json.dumps(history)
    assert await as_dev(guest, "tiny") == "tiny 2.0"
