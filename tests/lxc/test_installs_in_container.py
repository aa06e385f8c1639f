"""Runtimes in a real container: installed by a user of their own, run by the customer, and changed by nobody else."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from fakes.runtime_shop import RuntimeShop, make_shop
from lxc.guest import PATIENCE_S, Guest, running_guest
from lxc.own_host import OwnHost
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import StepState

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
STATE = tuple(f"/var/lib/zlh/{name}" for name in ("downloads", "catalog", "locks"))
FOLDERS = ("/opt/zlh/runtimes", "/opt/zlh/services", *STATE)


# Ends with 9 as soon as something is as it must not be.
ATTACK = """
[ "$(id -un)" = zlh-install ] || exit 9
for path in /home/dev /var/lib/zlh/catalog /opt/zlh/runtimes/tiny/1.0 /run; do ls $path && exit 9; done
for path in /etc/zlh/agent.key /etc/zlh/agent.toml /etc/shadow; do cat $path && exit 9; done
(echo x > $0) && exit 9
(echo x > /tmp/evil) && exit 9
curl --silent --max-time 2 http://10.213.77.1/ && exit 9
su -c true && exit 9
echo x > $TMPDIR/own || exit 9
"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def served(tree: Path, address: str, port: int | None) -> Iterator[None]:
    """Serve a folder on an address of the bridge, at the only port that containers reach there."""
    handler = partial(QuietHandler, directory=str(tree))
    with http.server.ThreadingHTTPServer((address, port or 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A shop with two versions, whose programs say who runs them."""
    shop = make_shop(tmp_path / "shop", "1.0")
    shop.add("2.0", script=ATTACK)
    shop.publish()
    return shop


@pytest.fixture
async def guest(host: OwnHost, shop: RuntimeShop) -> AsyncIterator[Guest]:
    """A container whose agent is online, and installs from the shop."""
    with served(shop.tree, host.settings.gateway, host.settings.artifacts_port):
        async with running_guest(host, trusted_root=shop.trusted_root) as guest:
            await guest.wait_online()
            yield guest


async def install(guest: Guest, *versions: str) -> None:
    """Want these versions, the first as the default, and wait for them."""
    wanted = tuple(WantedRuntime(name="tiny", version=version, default=version == versions[0]) for version in versions)
    await guest.want(runtimes=wanted)
    async with asyncio.timeout(PATIENCE_S):
        while (status := await guest.status()).observed_generation != guest.generation:
            await asyncio.sleep(0.1)
    assert {step.state for step in status.steps} <= {StepState.DONE}, status.steps


async def test_a_runtime_belongs_to_a_user_of_its_own(guest: Guest) -> None:
    """The customer runs it and cannot change it, nor anything that an install works in; the user owns nothing else."""
    await install(guest, "1.0")
    assert await guest.inside("su", "dev", "-c", "/opt/zlh/runtimes/tiny/current/bin/tiny") == "tiny 1.0"
    found = [line.split() for line in (await guest.inside("find", *FOLDERS, "-printf", "%y %u %m\\n")).splitlines()]
    assert {owner for _, owner, _ in found} == {"zlh-install"}
    # Links have all bits and none that counts.
    assert not [mode for kind, _, mode in found if kind != "l" and int(mode, 8) & 0o022]
    for attempt in (
        "echo x >> /opt/zlh/runtimes/tiny/1.0/bin/tiny",
        "touch /opt/zlh/runtimes/tiny/new",
        "touch /opt/zlh/runtimes/new",
        "rm -rf /opt/zlh/runtimes/tiny/current",
        "mv /opt/zlh/runtimes/tiny /opt/zlh/runtimes/other",
        *(f"ls {folder}" for folder in STATE),
        "ls /var/lib/zlh",
    ):
        assert await guest.inside("su", "dev", "-c", f"{attempt} 2>/dev/null && echo did || echo did not") == "did not"
    elsewhere = ("-regextype", "posix-extended", "-not", "-regex", "/opt/zlh/(runtimes|services).*")
    outside = (*elsewhere, "-user", "zlh-install", "-not", "-path", "/proc/*")
    others = await guest.inside("find", "/", "-xdev", *outside, "-not", "-path", "/var/lib/zlh/*", check=False)
    assert others == ""
    assert await guest.inside("getent", "passwd", "zlh-install", check=False) != ""
    assert await guest.inside("su", "zlh-install", "-c", "echo in", check=False) != "in"


async def test_what_is_tried_out_is_that_user_and_reaches_nothing(guest: Guest) -> None:
    """The smoke test of an archive runs before anybody else: not as root, and not where anything of value is."""
    await install(guest, "1.0", "2.0")
    assert await guest.inside("/opt/zlh/runtimes/tiny/current/bin/tiny") == "tiny 1.0"
    assert await guest.inside("ls", "/tmp/evil", check=False) == ""


async def test_folders_of_root_are_taken_over(guest: Guest) -> None:
    """Those of a container from before; what is installed goes on, and more can be installed."""
    await install(guest, "1.0")
    await guest.inside("systemctl", "stop", "zlh-agent")
    await guest.inside("chown", "-R", "root:root", *FOLDERS)
    await guest.inside("chmod", "700", "/var/lib/zlh", "/opt/zlh/runtimes", "/opt/zlh/services")
    await guest.inside("systemctl", "start", "zlh-agent")
    await guest.wait_online()
    owners = await guest.inside("find", *FOLDERS, "-printf", "%u\\n")
    assert set(owners.split()) == {"zlh-install"}
    await install(guest, "1.0", "2.0")
    assert await guest.inside("su", "dev", "-c", "/opt/zlh/runtimes/tiny/current/bin/tiny") == "tiny 1.0"
