"""Game servers in real containers: played through the proxy, owned by the customer, and harmless whatever he does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from component.api.conftest import dsn, postgres
from fakes.runtime_shop import RuntimeShop
from guards import leaks
from lxc.game_servers import (
    SIZE,
    GameOnHost,
    audit,
    offer_blocks,
    ping,
    public_port,
    route_files,
)
from lxc.own_host import OwnHost
from lxc.platform import LxcPlatform, running_platform
from lxc.test_installs_in_container import served
from real_parts.minetest import ask_minetest, offer_minetest
from zlh_api.database.pool import Database

__all__ = ["dsn", "postgres"]
pytestmark = [pytest.mark.real("lxc", "traefik"), pytest.mark.timeout(1500)]


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A tree of artifacts, as yet without anything."""
    return RuntimeShop(tmp_path / "shop")


@asynccontextmanager
async def running(host: OwnHost, dsn: str, shop: RuntimeShop, folder: Path) -> AsyncIterator[LxcPlatform]:
    """Run an installation that offers what is in the shop, with one port of each protocol for players."""
    leaks.long_lived.add(str(folder))
    with served(shop.tree, host.settings.gateway, host.settings.artifacts_port):
        async with running_platform(host, dsn, folder, trusted_root=shop.trusted_root, has_games=True) as platform:
            yield platform


async def wait_ports_back(platform: LxcPlatform) -> None:
    """Return once no port of the proxy is anybody's, and nothing at all is left of a container."""
    database = Database(platform.dsn)
    try:
        async with database.connection() as connection:
            assert await connection.fetch("select 1 from game_ports") == []
    finally:
        await database.close()
    assert await asyncio.to_thread(route_files, platform) == []
    assert await audit(platform) == ""


@pytest.mark.real("debian-packages")
async def test_a_game_of_debian_is_played_by_template_alone(
    host: OwnHost, dsn: str, shop: RuntimeShop, tmp_path: Path
) -> None:
    """Minetest, of whom nothing in the platform knows: packed, installed, reached by UDP, stopped in order, deleted."""
    await asyncio.to_thread(offer_minetest, shop)
    async with running(host, dsn, shop, tmp_path) as platform:
        game = await GameOnHost.create(platform, "minetest", variables={"motd": "Come in"})
        report = await game.wait_ready((await game.detail())["version"])
        port = public_port(report)
        assert await asyncio.to_thread(ask_minetest, "127.0.0.1", port) > 1
        assert await game.owners() == {"dev:dev"}
        program = await game.inside("find", "/opt/zlh/runtimes/minetest", "-not", "-user", "zlh-install")
        assert program == ""
        assert {"minetest.conf", "world"} <= set(await game.names())
        settings = await platform.read_file(game.vmid, "minetest.conf")
        assert "motd = Come in\n" in settings
        stopped = await game.power("stop", "stopped")
        (server,) = [one for one in stopped["processes"] if one["name"] == "server"]
        assert (server["exitCode"], server["signal"]) == (0, None)
        assert "game_time = " in await platform.read_file(game.vmid, "world/env_meta.txt")
        await game.power("start", "running")
        await game.wait_ready(report["game"]["version"])
        assert await asyncio.to_thread(ask_minetest, "127.0.0.1", port) > 1
        await game.delete()
        await wait_ports_back(platform)


async def test_a_server_lives_in_a_container_from_its_first_player_to_its_end(
    host: OwnHost, dsn: str, shop: RuntimeShop, tmp_path: Path
) -> None:
    """Reached by TCP, saved at each stop, another version by way of a backup, the way back, and nothing left of it."""
    await asyncio.to_thread(offer_blocks, shop)
    async with running(host, dsn, shop, tmp_path) as platform:
        game = await GameOnHost.create(platform, "blocks", acceptEula=True)
        port = public_port(await game.wait_ready("1.0"))
        assert (await ping(port))["description"] == {"text": "blocks 1.0"}
        assert await game.owners() == {"dev:dev"}
        assert (await game.names())["world"] == "dir"
        await game.as_customer("echo mine > /srv/game/mine.txt")

        await game.act("version", {"version": "2.0"})
        await game.wait_ready("2.0")
        assert (await ping(port))["description"] == {"text": "blocks 2.0"}
        assert set(await game.names()) >= {"mine.txt", "libraries", "world"}
        assert "old_jar" not in await game.names()
        assert await platform.read_file(game.vmid, "world/saved.txt") == "saved\n"
        assert await game.owners() == {"dev:dev"}
        (backup,) = (await game.detail())["backups"]
        assert backup["version"] == "1.0"
        # It lies where no program of the customer's reaches it.
        assert "ermission denied" in await game.as_customer("ls /var/lib/zlh/game")

        await game.as_customer("rm /srv/game/mine.txt; echo new > /srv/game/new.txt")
        await game.act("restore", {"backupId": backup["id"]})
        await game.wait_ready("1.0")
        names = await game.names()
        assert "mine.txt" in names
        assert not {"new.txt", "libraries"} & set(names)
        assert await game.owners() == {"dev:dev"}
        assert (await ping(port))["description"] == {"text": "blocks 1.0"}

        await game.power("stop", "stopped")
        assert await platform.read_file(game.vmid, "world/saved.txt") == "saved\n"
        await game.delete()
        await wait_ports_back(platform)
        again = await GameOnHost.create(platform, "blocks", acceptEula=True)
        assert public_port(await again.wait_ready("1.0")) == port
        await again.delete()
        await wait_ports_back(platform)


async def test_what_a_customer_does_to_his_server_is_his_own_harm(
    host: OwnHost, dsn: str, shop: RuntimeShop, tmp_path: Path
) -> None:
    """Links, odd rights, a full disk in the middle of a backup and a fork bomb: told with the reason, mended by him.

    What a neighbour has goes on untouched, and so does the API.
    """
    await asyncio.to_thread(offer_blocks, shop)
    async with running(host, dsn, shop, tmp_path) as platform:
        neighbour = GameOnHost(platform, (await platform.create_ready())["vmid"])
        running_since = await neighbour.inside("systemctl", "show", "zlh-agent", "--property=ExecMainPID,NRestarts")
        game = await GameOnHost.create(platform, "blocks", acceptEula=True)
        await game.wait_ready("1.0")
        before = await etc_of(game)

        await take_rights(game)
        await fill_disk_while_packing(game)
        await lead_elsewhere(game)
        assert await etc_of(game) == before
        await game.act("version", {"version": "2.0"})
        await game.wait_ready("2.0")

        forks = await GameOnHost.create(platform, "forks", resources={**SIZE, "pids": 128})
        await forks.wait_failed("game_script_failed")
        assert await forks.inside("pgrep", "-u", "dev", "-c", check=False) == "0"
        assert (await game.report())["ready"]
        report = await neighbour.report()
        assert (report["ready"], report["connection"], report["degraded"]) == (True, "online", [])
        now = await neighbour.inside("systemctl", "show", "zlh-agent", "--property=ExecMainPID,NRestarts")
        assert now == running_since
        for each in (forks, game, neighbour):
            await each.delete()
        await wait_ports_back(platform)


async def etc_of(game: GameOnHost) -> str:
    """Return what stands in the container's /etc, and whose it is."""
    return await game.inside("find", "/etc", "-path", "/etc/zlh", "-prune", "-o", "-printf", "%p %u %m %s\\n")


async def lead_elsewhere(game: GameOnHost) -> None:
    """Have links lead out of the server's folder, and a link in its own place."""
    assert "ermission denied" in await game.as_customer("mv /srv/game /srv/other")
    assert "ermission denied" in await game.as_customer("ln -s /etc /srv/.zlh-restored-game")
    await game.as_customer("ln -s /etc /srv/game/libraries")
    await game.act("version", {"version": "2.0"})
    step = await game.wait_failed("game_file_blocked")
    assert "libraries" in step["message"]
    # The old one runs on.
    await game.wait("up again", lambda report: any(one["ready"] for one in report["processes"]))
    # As nobody but root of the container could.
    await game.inside("sh", "-c", "mv /srv/game /srv/other && ln -s /etc /srv/game")
    await game.act("version", {"version": "2.0"})
    step = await game.wait_failed("game_folder_unusable")
    assert "/srv/game" in step["message"]
    await game.inside("sh", "-c", "rm /srv/game /srv/other/libraries && mv /srv/other /srv/game")


async def take_rights(game: GameOnHost) -> None:
    """Take the rights of files away: what cannot be packed is named, and nobody can make anything immutable."""
    said = await game.as_customer("touch /srv/game/fixed; chattr +i /srv/game/fixed || echo refused")
    assert "refused" in said
    assert "refused" in await game.inside("sh", "-c", "chattr +i /srv/game/fixed 2>&1 || echo refused")
    await game.as_customer("mkdir /srv/game/shut; touch /srv/game/shut/in; chmod 0 /srv/game/shut")
    await game.act("version", {"version": "2.0"})
    await game.wait_failed("game_backup_incomplete")
    await game.wait("up again", lambda report: any(one["ready"] for one in report["processes"]))
    await game.as_customer("chmod 700 /srv/game/shut; rm -r /srv/game/shut; rm -f /srv/game/fixed")


async def fill_disk_while_packing(game: GameOnHost) -> None:
    """Take all room of the disk in the middle of a backup, which is held still for that."""
    await game.as_customer("head -c 200000000 /dev/urandom > /srv/game/world/region.mca")
    async with asyncio.TaskGroup() as group:
        held = group.create_task(game.inside("timeout", "240", "sh", "-c", HOLD))
        await game.inside("timeout", "240", "sh", "-c", "until [ -e /run/watching ]; do sleep 0.1; done")
        await game.act("version", {"version": "2.0"})
        await held
    # All but a little at once, and then byte by byte until there is nothing left.
    await game.as_customer("cd /srv/game; fallocate -l $(($(df --output=avail -B1 / | tail -1) - 8000000)) filler")
    assert "No space left" in await game.as_customer("cat /dev/zero > /srv/game/rest")
    await game.inside("kill", "-CONT", *held.result().split())
    await game.wait_failed("game_backup_too_large")
    await game.as_customer("rm -f /srv/game/filler /srv/game/rest /srv/game/world/region.mca")
    await game.wait("up again", lambda report: any(one["ready"] for one in report["processes"]))
    assert await game.inside("sh", "-c", "ls /var/lib/zlh/game/backups | wc -l") == "0"


# Waits until some of the backup is written, and holds the child that packs; says which.
HOLD = """
touch /run/watching
until [ -n "$(find /var/lib/zlh/game/backups -name '*.part' -size +100k)" ]; do :; done
packing=$(pgrep -u dev -f zlh-archive)
kill -STOP $packing
echo $packing
"""
