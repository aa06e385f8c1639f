"""The product from its release alone: installed, with real containers of its own template, used, brought to another
version of the agent, and taken away.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import dns.query
import dns.tsigkeyring
import dns.zone
import pytest
import structlog

from component.api.conftest import dsn, postgres
from e2e.visitors import join
from fakes.runtime_shop import RuntimeShop
from fakes.sshd import Sshd
from guards import leaks
from lxc.game_servers import PATIENCE_S, SIZE, GameOnHost, audit, offer_blocks, ping, public_port
from lxc.own_host import OwnHost, own_host
from lxc.platform import TOKEN, LxcPlatform, running_platform
from lxc.test_installs_in_container import served
from real_parts.agent_versions import offer_version
from real_parts.knot import Knot, running_knot
from real_parts.release import build_release, install_release, unpack_template
from zlh_common.schema.console_wire import OFFSET_BYTES, SUBPROTOCOL

__all__ = ["dsn", "postgres"]
parts = ("lxc", "traefik", "knot", "sshd", "portal", "package-index")
pytestmark = [pytest.mark.real(*parts), pytest.mark.timeout(1500)]
log = structlog.get_logger()
# The domain of the containers, which Knot is asked about; browsers need no name server for it.
ZONE = "localhost"
# Versions of the agent after that of the release. The first ends when it is to serve.
NEXT_BROKEN, NEXT = "90.0.0", "90.0.1"
BROKEN = "\nimport sys\nif '--version' not in sys.argv:\n    raise ImportError('a library that is not there')\n"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Lend a folder that the users of containers may pass."""
    folder = Path(tempfile.mkdtemp(prefix="zlh-release-"))
    folder.chmod(0o711)
    leaks.long_lived.add(str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def release(place: Path) -> Path:
    """Build the release with the template of this driver."""
    return build_release(place / "dist", "--template", "lxc")


@pytest.fixture(scope="module")
def template(release: Path, place: Path) -> Path:
    """Unpack its template, once for a second try too."""
    return unpack_template(release, place / "template")


@pytest.fixture
async def host(template: Path) -> AsyncIterator[OwnHost]:
    """A bridge and a driver whose containers are made of the release's template."""
    async with own_host(template=template) as host:
        yield host


class Clock:
    """Notes how long each step took; nothing is expected of that."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self.took: dict[str, float] = {}

    def note(self, step: str) -> None:
        """Note what has ended now."""
        now = time.monotonic()
        self.took[step], self._at = round(now - self._at, 1), now


@asynccontextmanager
async def running(
    release: Path, place: Path, host: OwnHost, dsn: str, folder: Path
) -> AsyncIterator[tuple[LxcPlatform, Knot, RuntimeShop]]:
    """Install the release and run it, with route files over SFTP and records in a name server of its own."""
    leaks.long_lived.add(str(folder))
    shop = RuntimeShop(folder / "shop")
    async with AsyncExitStack() as opened:
        venv = await asyncio.to_thread(install_release, release, place)
        program = (str(venv / "bin/zlh-api"),)
        await asyncio.to_thread(offer_blocks, shop)
        taken = [*program, "artifacts", "import", str(release), "--dir", str(shop.tree)]
        await asyncio.to_thread(subprocess.run, taken, check=True, capture_output=True)
        await asyncio.to_thread(shop.publish)
        opened.enter_context(served(shop.tree, host.settings.gateway, host.settings.artifacts_port))
        knot = await asyncio.to_thread(opened.enter_context, running_knot(folder, ZONE))
        sshd = await asyncio.to_thread(Sshd, folder / "sshd", extra="ForceCommand internal-sftp -u 0022")
        await asyncio.to_thread(sshd.start)
        opened.push_async_callback(asyncio.to_thread, sshd.stop)
        more = await asyncio.to_thread(render_more, folder, sshd, knot)
        run = running_platform(
            host, dsn, folder, trusted_root=shop.trusted_root, has_games=True, program=program, more=more
        )
        platform = await opened.enter_async_context(run)
        yield platform, knot, shop


def render_more(folder: Path, sshd: Sshd, knot: Knot) -> str:
    """Return the tables of the machine of the proxy and of the name server."""
    access, key = sshd.access(), folder / "tsig.key"
    key.write_text(knot.secret)
    key.chmod(0o600)
    return f"""
[traefik.sftp]
host = "{access.host}"
port = {access.port}
user = "{access.user}"
key = "{access.key}"
known_hosts = "{access.known_hosts}"
[[dns]]
kind = "rfc2136"
name = "lab"
zone = "{ZONE}"
target = ["127.0.0.1"]
server = "{knot.address}"
port = {knot.port}
key_name = "{knot.key_name}"
key = "{key}"
algorithm = "{knot.algorithm}"
ask = ["{knot.address}:{knot.port}"]
"""


async def test_release_makes_uses_and_removes_containers(
    release: Path, place: Path, host: OwnHost, dsn: str, tmp_path: Path
) -> None:
    """A dev and a game container: created, used, brought to a newer agent, restarted, deleted; and nothing is left."""
    clock = Clock()
    async with running(release, place, host, dsn, tmp_path) as (platform, knot, shop):
        clock.note("installed and running")
        game = await GameOnHost.create(platform, "blocks", acceptEula=True)
        dev = await create_dev(platform)
        report = await dev.wait("ready", lambda report: bool(report["ready"]))
        clock.note("dev container ready")
        port = public_port(await game.wait_ready("1.0"))
        clock.note("game container ready")
        assert await asyncio.to_thread(names_of, knot) >= {f"dev-{dev.vmid}", f"game-{game.vmid}"}
        assert (await dev.inside("systemctl", "is-active", "zlh-agent")) == "active"

        assert "=1.0\n" in await type_in_terminal(platform, dev.vmid, "tiny; echo =$(tiny | cut -d' ' -f2)")
        await put_file(platform, dev.vmid, "site/index.html", "from the release")
        url = await publish_site(platform, dev.vmid)
        visitor = await join(platform, report["customerId"], "ann", "member")
        await wait_page(visitor, url, "from the release")
        assert (await ping(port))["description"] == {"text": "blocks 1.0"}
        clock.note("terminal, file, published port, player")

        template = host.settings.template
        broken = {"module": "app/serve.py", "added": BROKEN}
        await asyncio.to_thread(offer_version, template, shop, NEXT_BROKEN, **broken)
        await asyncio.to_thread(offer_version, template, shop, NEXT)
        runs = [await processes_of(each) for each in (dev, game)]
        await prove_soon(dev, game)
        assert await roll_out(platform, NEXT_BROKEN, until="halted") == {dev.vmid: "undone", game.vmid: "waiting"}
        clock.note("a broken agent rolled out, undone and halted")
        assert await roll_out(platform, NEXT, until="done") == {dev.vmid: "updated", game.vmid: "updated"}
        assert [await processes_of(each) for each in (dev, game)] == runs, "nothing was restarted"
        await wait_page(visitor, url, "from the release")
        clock.note("both brought to the next agent")

        await restart(dev, from_within=False)
        # Of a game container the API restarts the server alone.
        await restart(game, from_within=True)
        await wait_page(visitor, url, "from the release")
        await game.wait_ready("1.0")
        assert (await ping(port))["description"] == {"text": "blocks 1.0"}
        clock.note("both restarted")

        await asyncio.gather(dev.delete(), game.delete())
        await wait_nothing_left(platform, host, knot)
        clock.note("both deleted, nothing left")
    log.info("release.lived", seconds=clock.took)


async def processes_of(container: GameOnHost) -> dict[str, tuple[int, int]]:
    """Return pid and restarts of each process."""
    _, report = await container.platform.call("GET", f"/api/containers/{container.vmid}/status")
    return {each["name"]: (each["pid"], each["restarts"]) for each in report["processes"]}


async def prove_soon(*containers: GameOnHost) -> None:
    """Have the agents be at an end with a version within seconds, where they take ten minutes."""
    for each in containers:
        await each.inside("sed", "-i", "1i update_probation_s = 2", "/etc/zlh/agent.toml")
        await each.inside("systemctl", "restart", "zlh-agent")
        await each.wait("heard again", lambda report: bool(report["ready"]))


async def roll_out(platform: LxcPlatform, version: str, *, until: str) -> dict[int, str]:
    """Bring all to a version, the dev container first; return where each stands when it is in that state."""
    rollouts = "/api/platform/rollouts"
    async with asyncio.timeout(PATIENCE_S):
        while version not in [
            each["version"] for each in (await platform.call("GET", "/api/platform/agents"))[1]["offers"]
        ]:
            await asyncio.sleep(0.5)
    _, containers = await platform.call("GET", "/api/containers")
    canary = next(each["vmid"] for each in containers["items"] if each["kind"] == "dev")
    wish = {"version": version, "canaries": [canary], "shares": [100], "soakMinutes": 0}
    status, begun = await platform.call("POST", rollouts, wish)
    assert status == 201, begun
    async with asyncio.timeout(PATIENCE_S):
        while (detail := (await platform.call("GET", f"{rollouts}/{begun['id']}"))[1])["rollout"]["state"] != until:
            assert detail["rollout"]["state"] == "running", detail
            await asyncio.sleep(0.5)
    return {each["vmid"]: each["state"] for each in detail["members"]}


async def create_dev(platform: LxcPlatform) -> GameOnHost:
    """Wish for a dev container with a runtime."""
    wish = {"kind": "dev", "runtime": "tiny", "version": "1.0", "resources": SIZE}
    status, made = await platform.call("POST", "/api/containers", wish)
    assert status == 202, made
    return GameOnHost(platform, made["vmid"])


async def restart(container: GameOnHost, *, from_within: bool) -> None:
    """Have a container begin another life, by the API or by a program of its own; return once it is ready in that."""
    await container.inside("touch", "/run/of-the-life-before")
    if from_within:
        await container.inside("systemctl", "reboot", check=False)
    else:
        status, said = await container.platform.call("POST", f"/api/containers/{container.vmid}/restart")
        assert status == 202, said
    ask = ("sh", "-c", "test -e /run/of-the-life-before || echo another")
    async with asyncio.timeout(PATIENCE_S):
        while await container.inside(*ask, check=False) != "another":
            await asyncio.sleep(0.2)
    await container.wait("ready again", lambda report: bool(report["ready"]))


async def type_in_terminal(platform: LxcPlatform, vmid: int, line: str) -> str:
    """Type a line into a terminal of one's own; return what was seen until it ended."""
    path = f"/api/containers/{vmid}/terminals"
    status, opened = await platform.call("POST", path, {"cols": 80, "rows": 24})
    assert status == 201, opened
    seen = b""
    async with (
        asyncio.timeout(PATIENCE_S),
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.ws_connect(f"{platform.dev['apiUrl']}{path}/{opened['id']}", protocols=(SUBPROTOCOL,)) as socket,
    ):
        await socket.send_bytes(f"{line}; exit\n".encode())
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                seen += message.data[OFFSET_BYTES:]
    return seen.decode().replace("\r", "")


async def put_file(platform: LxcPlatform, vmid: int, path: str, text: str) -> None:
    """Write a file in the workspace, and the folder that it is in."""
    files = f"{platform.dev['apiUrl']}/api/containers/{vmid}/files"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        async with session.post(f"{files}/mkdir", json={"path": path.rpartition("/")[0]}) as answer:
            assert answer.status in {200, 201, 204}, await answer.text()
        async with session.put(f"{files}/content", params={"path": path}, data=text.encode()) as answer:
            assert answer.status in {200, 201, 204}, await answer.text()


async def publish_site(platform: LxcPlatform, vmid: int) -> str:
    """Have the container serve that folder, and publish the port; return its address."""
    argv = ["/usr/bin/python3", "-m", "http.server", "8000", "--directory", "/home/dev/workspace/site"]
    status, said = await platform.call("PUT", f"/api/containers/{vmid}/processes/site", {"argv": argv})
    assert status == 201, said
    wish = {"port": 8000, "visibility": "public"}
    status, made = await platform.call("POST", f"/api/containers/{vmid}/exposures", wish)
    assert status == 201, made
    return str(made["url"])


async def wait_page(visitor: Any, url: str, text: str) -> None:
    """Return once the proxy answers with this text."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await visitor.fetch(url))[0] != 200:
            await asyncio.sleep(0.1)
    assert text in answer[3]


def names_of(knot: Knot) -> set[str]:
    """Return the names of the zone beside those that it begins with."""
    keyring = dns.tsigkeyring.from_text({knot.key_name: knot.secret})
    transfer = dns.query.xfr(knot.address, knot.zone, port=knot.port, keyring=keyring, keyalgorithm=knot.algorithm)
    zone = dns.zone.from_xfr(transfer)
    return {str(name) for name in zone.nodes} - {"@", "ns"}


async def wait_nothing_left(platform: LxcPlatform, host: OwnHost, knot: Knot) -> None:
    """Return once there is no guest, route file and record; the audit agrees."""

    def left() -> list[str]:
        guests = [path.name for path in host.settings.root.iterdir() if path.name.isdecimal()]
        routes = [path.name for path in Path(platform.folder, "routes").glob("*-[0-9]*")]
        return [*guests, *routes, *names_of(knot)]

    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(left):
            await asyncio.sleep(0.2)
    assert await audit(platform) == ""
