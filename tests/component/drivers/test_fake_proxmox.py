"""The fake is as strict as the real one: what it would let pass, the driver would never learn."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from fakes.proxmox.world import ARCHIVE, ProxmoxWorld, open_world

CREATE = {"vmid": "101", "ostemplate": ARCHIVE, "rootfs": "local-lvm:8", "net0": "name=eth0,bridge=vmbr1,ip=dhcp"}
LXC = "/nodes/pve1/lxc"


class Hand:
    """Somebody with the token who may ask anything."""

    def __init__(self, world: ProxmoxWorld, session: aiohttp.ClientSession) -> None:
        self.world, self._session = world, session

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str, bytes]:
        """Return status, reason and body."""
        token = f"PVEAPIToken={self.world.api.token_id}={self.world.api.secret}"
        headers = {"Authorization": token, **options.pop("headers", {})}
        url = f"{self.world.api.url}/api2/json{path}"
        async with self._session.request(method, url, headers=headers, **options) as response:
            return response.status, response.reason or "", await response.read()

    async def get(self, path: str) -> Any:
        """Return the data of a good answer."""
        status, reason, body = await self.ask("GET", path)
        assert status == 200, reason
        return json.loads(body)["data"]

    async def make(self, **change: str) -> None:
        """Make a container and wait for it."""
        status, reason, _body = await self.ask("POST", LXC, data={**CREATE, **change})
        assert status == 200, reason
        async with asyncio.timeout(5):
            while not self.world.cluster.is_quiet():
                await asyncio.sleep(0.01)


@pytest.fixture
async def hand() -> AsyncIterator[Hand]:
    """One on a fresh cluster."""
    async with open_world() as world:
        context = ssl.create_default_context(cadata=await asyncio.to_thread(world.api.certificate.read_text))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            yield Hand(world, session)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"surprise": "1"}, 400, "property is not defined in schema"),
        ({"onboot": "true"}, 400, "boolean"),
        ({"vmid": "99"}, 400, "minimum"),
        ({"memory": "much"}, 400, "integer"),
        ({"tags": "Upper"}, 400, "invalid characters in tag"),
        ({"net0": "bridge=vmbr0"}, 400, "format error"),
        ({"pool": "none"}, 400, "does not exist"),
        ({"features": "keyctl=1"}, 403, "only allowed for root@pam"),
        ({"unprivileged": "0"}, 403, "Sys.Modify"),
        ({"hookscript": "local:snippets/x"}, 403, "root@pam"),
        ({"ostemplate": "local:vztmpl/none.tar.zst"}, 500, "does not exist"),
        ({"rootfs": "other:8"}, 500, "storage 'other' does not exist"),
    ],
)
async def test_a_creation_is_looked_at(hand: Hand, change: dict[str, str], status: int, words: str) -> None:
    """Before anything is begun, and with the reason as the real one puts it."""
    got, reason, body = await hand.ask("POST", LXC, data={**CREATE, **change})
    assert (got, words in reason + body.decode()) == (status, True)
    assert hand.world.cluster.guests == {}


async def test_a_creation_begins_with_a_lock_alone_and_ends_with_all(hand: Hand) -> None:
    """The mark comes with the task, and what was added with it."""
    status, _reason, body = await hand.ask("POST", LXC, data={**CREATE, "description": "mine", "tags": "b;a"})
    assert status == 200
    assert json.loads(body)["data"].startswith("UPID:pve1:")
    config = await hand.get(f"{LXC}/101/config")
    assert {name for name in config if name != "digest"} == {"lock"}
    again = await hand.ask("POST", "/nodes/pve2/lxc", data=CREATE)
    assert again[:2] == (500, "unable to create CT 101 - CT 101 already exists on node 'pve1'")
    async with asyncio.timeout(5):
        while "lock" in await hand.get(f"{LXC}/101/config"):
            await asyncio.sleep(0.01)
    config = await hand.get(f"{LXC}/101/config")
    assert (config["description"], config["tags"], config["unprivileged"]) == ("mine\n", "a;b", 1)
    assert "hwaddr=" in config["net0"]
    assert "type=veth" in config["net0"]
    assert config["rootfs"] == "local-lvm:vm-101-disk-0,size=8G"


async def test_what_is_missing_is_a_500_with_a_reason(hand: Hand) -> None:
    """There is no 404."""
    status, reason, body = await hand.ask("GET", f"{LXC}/101/config")
    assert (status, reason) == (500, "Configuration file 'nodes/pve1/lxc/101.conf' does not exist")
    assert json.loads(body) == {"data": None, "message": f"{reason}\n"}
    assert (await hand.ask("GET", "/nowhere"))[:2] == (501, "Method 'GET /nowhere' not implemented")


async def test_bodies_where_none_may_be_are_refused(hand: Hand) -> None:
    """Nor may one come in pieces."""
    await hand.make()
    status, reason, _body = await hand.ask("DELETE", f"{LXC}/101", data={"purge": "1"})
    assert (status, reason) == (501, "Unexpected content for method 'DELETE'")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"memory=1024"

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await hand.ask("PUT", f"{LXC}/101/config", data=pieces(), headers=form))[0] == 501
    assert (await hand.ask("PUT", f"{LXC}/101/config", json={"onboot": True}))[0] == 200


async def test_a_wrong_token_waits_and_gets_no_body(hand: Hand) -> None:
    """As long as is configured; three seconds at the real one."""
    hand.world.api.denial_delay_s = 0.3
    began = time.monotonic()
    status, reason, body = await hand.ask("GET", "/nodes", headers={"Authorization": "PVEAPIToken=zlh@pve!api=no"})
    assert (status, reason, body) == (401, "Authentication failed!", b"")
    assert time.monotonic() - began >= 0.3


async def test_the_next_number_is_text_and_reserves_nothing(hand: Hand) -> None:
    """Two who ask get the same."""
    assert await hand.get("/cluster/nextid") == await hand.get("/cluster/nextid") == "100"


async def test_locks_are_looked_at_where_the_real_one_does(hand: Hand) -> None:
    """By changes and deletion at once, by start and stop within their task."""
    await hand.make()
    hand.world.cluster.guests[101].config["lock"] = "backup"
    for method, path, data in (
        ("PUT", f"{LXC}/101/config", {"memory": "1024"}),
        ("PUT", f"{LXC}/101/resize", {"disk": "rootfs", "size": "9G"}),
        ("DELETE", f"{LXC}/101", None),
    ):
        assert (await hand.ask(method, path, data=data))[:2] == (500, "CT is locked (backup)")
    status, _reason, body = await hand.ask("POST", f"{LXC}/101/status/start")
    assert status == 200
    upid = json.loads(body)["data"]
    async with asyncio.timeout(5):
        while (task := await hand.get(f"/nodes/pve1/tasks/{upid}/status"))["status"] == "running":
            await asyncio.sleep(0.01)
    assert task["exitstatus"] == "CT is locked (backup)"
    assert (task["user"], task["tokenid"]) == ("zlh@pve", "api")


async def test_a_cloned_template_is_locked_meanwhile(hand: Hand) -> None:
    """And lets nobody else clone it."""
    hand.world.cluster.add_template(9000)
    clone = f"{LXC}/9000/clone"
    assert (await hand.ask("POST", clone, data={"newid": "101", "full": "1", "storage": "local-lvm"}))[0] == 200
    assert (await hand.ask("POST", clone, data={"newid": "102", "full": "1"}))[:2] == (500, "CT is locked (disk)")
    assert (await hand.ask("POST", clone, data={"newid": "102", "storage": "local-lvm"}))[0] == 500
    assert 102 not in hand.world.cluster.guests


async def test_rules_come_to_the_front_and_are_off_unless_said(hand: Hand) -> None:
    """With the digest by which a change that is too late is refused."""
    await hand.make()
    rules = f"{LXC}/101/firewall/rules"
    for action in ("ACCEPT", "DROP"):
        assert (await hand.ask("POST", rules, data={"type": "in", "action": action}))[0] == 200
    listed = await hand.get(rules)
    assert [(rule["pos"], rule["action"], rule["enable"]) for rule in listed] == [(0, "DROP", 0), (1, "ACCEPT", 0)]
    assert (await hand.ask("DELETE", f"{rules}/0", params={"digest": "0" * 40}))[0] == 500
    assert (await hand.ask("DELETE", f"{rules}/0", params={"digest": listed[0]["digest"]}))[0] == 200
    assert (await hand.ask("POST", rules, data={"type": "out", "action": "DROP", "dest": "10.0.0.0/8,fc00::/7"}))[
        0
    ] == 400
    assert (await hand.ask("POST", rules, data={"type": "out", "action": "DROP", "dport": "53"}))[0] == 400


async def test_a_set_must_be_there_before_its_entries(hand: Hand) -> None:
    """And holds each once."""
    await hand.make()
    sets = f"{LXC}/101/firewall/ipset"
    assert (await hand.ask("GET", f"{sets}/ipfilter-net0"))[:2] == (500, "no such IPSet 'ipfilter-net0'")
    assert (await hand.ask("POST", sets, data={"name": "ipfilter-net0"}))[0] == 200
    assert (await hand.ask("POST", sets, data={"name": "ipfilter-net0"}))[0] == 400
    assert (await hand.ask("POST", f"{sets}/ipfilter-net0", data={"cidr": "10.0.0.1"}))[0] == 200
    assert (await hand.ask("POST", f"{sets}/ipfilter-net0", data={"cidr": "10.0.0.1"}))[0] == 400
    assert (await hand.ask("POST", f"{sets}/ipfilter-net0", data={"cidr": "0.0.0.0/0"}))[0] == 400
    assert (await hand.ask("DELETE", f"{sets}/ipfilter-net0/10.0.0.1"))[0] == 200
    assert await hand.get(f"{sets}/ipfilter-net0") == []


async def test_a_node_that_is_down_is_answered_for_by_another(hand: Hand) -> None:
    """With a number beyond all others, and in the list as unknown."""
    await hand.make()
    hand.world.cluster.nodes["pve1"].is_up = False
    status, _reason, body = await hand.ask("GET", f"{LXC}/101/config")
    assert (status, body) == (595, b"")
    (entry,) = await hand.get("/cluster/resources?type=vm")
    assert entry["status"] == "unknown"
    assert "name" not in entry


async def test_interfaces_of_a_stopped_one_are_nothing(hand: Hand) -> None:
    """And no address is there in the first moment of one that runs."""
    await hand.make()
    assert await hand.get(f"{LXC}/101/interfaces") is None
    assert (await hand.ask("POST", f"{LXC}/101/status/start"))[0] == 200
    async with asyncio.timeout(5):
        while (shown := await hand.get(f"{LXC}/101/interfaces")) is None:
            await asyncio.sleep(0.01)
    assert shown[0]["ip-addresses"] == []


async def test_rights_at_a_deeper_path_take_the_place_of_those_above(hand: Hand) -> None:
    """Whatever was given at `/`, only what is given at the storage counts there, and what a pool adds."""
    access = hand.world.cluster.access
    asked = "/access/permissions?path=/storage/local-lvm"
    assert await hand.get(asked) == {"/storage/local-lvm": {"Datastore.Audit": 1, "Datastore.AllocateSpace": 1}}
    access.roles["ZLHStorage"] = {"Datastore.AllocateSpace"}
    assert await hand.get(asked) == {"/storage/local-lvm": {"Datastore.AllocateSpace": 1}}
    assert [each for each in await hand.get("/cluster/resources") if each["type"] == "storage"] == []
    await hand.make(pool="zlh")
    guest = (await hand.get("/access/permissions?path=/vms/101"))["/vms/101"]
    assert (guest["Datastore.Audit"], guest["VM.Allocate"]) == (1, 0)
    assert "VM.Allocate" not in (await hand.get("/access/permissions?path=/vms/102"))["/vms/102"]


async def test_rights_of_others_are_told_to_who_may_audit(hand: Hand) -> None:
    """One's own always."""
    hand.world.cluster.access.acl["/access"] = {"zlh@pve": {"ZLHNet": True}}
    assert (await hand.ask("GET", "/access/permissions?path=/&userid=zlh@pve"))[:2] == (
        403,
        "Permission check failed (/access, Sys.Audit)",
    )
    assert "Sys.Audit" in (await hand.get("/access/permissions?path=/"))["/"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/version?x=1", 400, "not defined in schema"),
        ("/access/permissions?path=no", 400, "Parameter verification failed"),
        ("/nodes/pve1/network?type=wire", 400, "Parameter verification failed"),
        ("/nodes/pve1/storage?storage=none", 400, "Parameter verification failed"),
        ("/nodes/pve1/storage/none/content", 500, "does not exist"),
        ("/nodes/pve9/time", 500, "hostname lookup 'pve9' failed"),
    ],
)
async def test_looks_are_as_strict_as_changes(hand: Hand, path: str, status: int, words: str) -> None:
    """What is not known is refused."""
    got, reason, body = await hand.ask("GET", path)
    assert (got, words in reason + body.decode()) == (status, True)


async def test_what_may_not_be_seen_is_left_out_or_refused(hand: Hand) -> None:
    """Lists leave out, single things refuse."""
    hand.world.cluster.access.acl.clear()
    assert await hand.get("/pools") == []
    assert await hand.get("/nodes/pve1/storage") == []
    for path, words in (
        ("/nodes/pve1/time", "(/nodes/pve1, Sys.Audit)"),
        ("/nodes/pve1/storage/local/content", "(/storage/local, Datastore.AllocateSpace|Datastore.Audit)"),
    ):
        status, reason, _body = await hand.ask("GET", path)
        assert (status, reason.endswith(words)) == (403, True), reason
