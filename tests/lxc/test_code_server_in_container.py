"""The real code-server in a real container: as the customer, at its one address, and gone without a trace of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from fakes.runtime_shop import RuntimeShop
from lxc.guest import PATIENCE_S, Guest, running_guest
from lxc.own_host import PORT, OwnHost
from lxc.test_installs_in_container import served
from real_parts.code_server import NAME, NEXT_VERSION, VERSION, build_code_server, code_server_shop
from zlh_common.schema.resources import Resources
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import AddonState, AgentStatus

pytestmark = [pytest.mark.real("lxc"), pytest.mark.real("code-server"), pytest.mark.timeout(1500)]
ADDON_PORT = 6000
START_S = 300.0
SETTINGS = "/home/dev/.local/share/code-server/User/settings.json"
HOSTILE = "bind-addr: 127.0.0.1:9999\\nauth: password\\nno-such-option: true\\n"


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A shop that has it."""
    return code_server_shop(tmp_path / "shop", build_code_server())


@pytest.fixture
async def guest(host: OwnHost, shop: RuntimeShop) -> AsyncIterator[Guest]:
    """A container whose agent is online, and installs from the shop."""
    resources = Resources(memory_mib=2048, disk_mib=10_240)
    with served(shop.tree, host.settings.gateway, host.settings.artifacts_port):
        async with running_guest(host, resources=resources, trusted_root=shop.trusted_root) as guest:
            await guest.wait_online()
            yield guest


def want(version: str, *, previous: bool = False) -> WantedRuntime:
    """Return a wanted version."""
    return WantedRuntime(name=NAME, version=version, default=not previous, previous=previous)


async def reached(guest: Guest, is_so: Callable[[AgentStatus], bool]) -> AgentStatus:
    """Return the first report that says so."""
    async with asyncio.timeout(START_S):
        while not is_so(status := await guest.status()):
            await asyncio.sleep(0.3)
    return status


async def running(guest: Guest, version: str) -> AgentStatus:
    """Wait until a version runs and answers, and nothing is left to do."""

    def is_so(status: AgentStatus) -> bool:
        told = [(addon.state, addon.version) for addon in status.addons]
        return told == [(AddonState.RUNNING, version)] and status.observed_generation == guest.generation

    return await reached(guest, is_so)


async def main_pid(guest: Guest) -> str:
    """Return the pid inside of what listens on its port, as its kernel tells it to root; empty where nothing does."""
    return await guest.inside(
        "python3", "-c",
        "import glob, os\n"
        "inodes = {line.split()[9] for name in ('tcp', 'tcp6') for line in open('/proc/net/' + name)\n"
        "          if line.split()[1].endswith(':1770') and line.split()[3] == '0A'}\n"
        "for path in glob.glob('/proc/[0-9]*/fd/*'):\n"
        "    try:\n"
        "        held = os.readlink(path)\n"
        "    except OSError:\n"
        "        continue\n"
        "    if held in {f'socket:[{inode}]' for inode in inodes}:\n"
        "        print(path.split('/')[2])\n"
        "        break\n",
    )  # fmt: skip


async def test_code_server_in_a_container(guest: Guest) -> None:
    """As `dev` on every address of the container's, with nothing secret about it; what is theirs stays for ever."""
    await guest.inside(
        "su", "dev", "-c", f"mkdir -p ~/.config/code-server; printf '{HOSTILE}' > ~/.config/code-server/config.yaml"
    )
    await guest.want(addons=(want(VERSION),), origins=("dev-101.example.com",))
    await running(guest, VERSION)
    # Where it listens, as the container's kernel tells it: 0.0.0.0:6000, and nowhere else.
    sockets = await guest.inside("cat", "/proc/net/tcp", "/proc/net/tcp6")
    bound = [line.split()[1] for line in sockets.splitlines() if line.split()[3] == "0A"]
    assert [each for each in bound if each.endswith(":1770")] == ["00000000:1770"]
    assert not [each for each in bound if each.endswith(":270F")]
    pid = await main_pid(guest)
    assert pid.isdigit()
    dev = await guest.inside("id", "-u", "dev")
    status = await guest.inside("cat", f"/proc/{pid}/status")
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert set(uids) == {dev}
    assert await guest.inside("readlink", f"/proc/{pid}/cwd") == "/home/dev/workspace"
    environment = (await guest.inside("cat", f"/proc/{pid}/environ")).split("\0")
    names = {each.partition("=")[0] for each in environment if each}
    assert names >= {"HOME", "PATH", "SHELL", "USER"}
    # By this shells know which variables are of runtimes.
    names -= {"ZLH_RUNTIME_VARIABLES"}
    assert not {name for name in names if any(word in name for word in ("ZLH", "PASSWORD", "TOKEN", "KEY", "SECRET"))}
    # The host is where the edge is; nobody else gets this far.
    async with aiohttp.ClientSession(f"http://{guest.address}:{ADDON_PORT}") as session:
        async with session.get("/", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "./?folder=/home/dev/workspace")
        async with session.get(f"/proxy/{PORT}/healthz") as answer:
            assert answer.status == 403
    await guest.inside("su", "dev", "-c", f"mkdir -p $(dirname {SETTINGS}); echo mine > {SETTINGS}")
    # Its trees belong to nobody who runs them.
    owners = await guest.inside("find", "/opt/zlh/services", "-maxdepth", "3", "-printf", "%u\\n")
    assert set(owners.split()) == {"zlh-install"}
    await guest.want(addons=(want(NEXT_VERSION), want(VERSION, previous=True)), origins=("dev-101.example.com",))
    await running(guest, NEXT_VERSION)
    # It is told to run the new version from the switch on, and is restarted right after: nothing listens meanwhile.
    async with asyncio.timeout(PATIENCE_S):
        while NEXT_VERSION not in await guest.inside("readlink", f"/proc/{await main_pid(guest)}/exe", check=False):
            await asyncio.sleep(0.2)
    assert await guest.inside("cat", SETTINGS) == "mine"
    await guest.want()
    await reached(guest, lambda status: not status.addons)
    assert await guest.inside("ls", "/opt/zlh/services") == ""
    assert await guest.inside("cat", SETTINGS) == "mine"
    left = await guest.inside("sh", "-c", "cat /proc/net/tcp | grep -c ':1770 .* 0A ' || true")
    assert left == "0"
