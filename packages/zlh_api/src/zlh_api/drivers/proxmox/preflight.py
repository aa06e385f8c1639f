"""A look at a cluster before the first container is made there; it reads and changes nothing.

Each thing is looked at by itself, so that one that cannot be costs the others nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from zlh_api.drivers.port import SystemAway
from zlh_api.drivers.proxmox import preflight_rules as rules
from zlh_api.drivers.proxmox.client import ProxmoxClient
from zlh_api.drivers.proxmox.guest_files import NodeShell
from zlh_api.drivers.proxmox.mark import parse_mark
from zlh_api.drivers.proxmox.network_rule import find_switched_off
from zlh_api.drivers.proxmox.preflight_rules import Need, Wish
from zlh_api.drivers.proxmox.refusals import ProxmoxDenied
from zlh_common.errors import ZlhError
from zlh_common.schema.preflight import PreflightReport, PreflightRow, Verdict

# So many guests are asked for their addresses at a time.
AT_ONCE = 8
Rows = list[PreflightRow]
Look = Callable[[], Awaitable[PreflightRow | Rows]]


class Preflight:
    """Looks at one cluster, as the driver would."""

    def __init__(self, client: ProxmoxClient, shell: NodeShell, wish: Wish, *, url: str) -> None:
        self._client = client
        self._shell = shell
        self._wish = wish
        self._url = url

    async def look(self) -> PreflightReport:
        """Return everything that was looked at; raise ConfigInvalid where token, keys or certificate cannot be read."""
        await self._client.open()
        await self._shell.open()
        try:
            told = await self._client.get("/version")
            listed = await self._client.get("/nodes")
        except ZlhError as error:
            return PreflightReport(self._url, None, (_refused(error, self._wish),))
        nodes = rules.judge_nodes(self._wish, listed)
        online = [row.subject.removeprefix("node ") for row in nodes if row.verdict is Verdict.HOLDS]
        groups = [
            [rules.judge_version(told)],
            nodes,
            await self._rights(online),
            await self._cluster(),
            *await asyncio.gather(*(self._node(node) for node in online)),
            await _guarded("addresses", lambda: self._block(online)),
        ]
        version = str(told.get("version", "")) or None
        return PreflightReport(self._url, version, tuple(row for group in groups for row in group))

    async def _rights(self, nodes: Sequence[str]) -> Rows:
        needs = rules.list_needs(self._wish, nodes, is_of_sdn=await self._is_of_sdn(nodes))
        roles = await self._roles()
        rows: Rows = []
        for path in dict.fromkeys(need.path for need in needs):
            here = [need for need in needs if need.path == path]
            rows += await _guarded(f"rights at {path}", partial(self._rights_at, here, roles))
        return rows

    async def _is_of_sdn(self, nodes: Sequence[str]) -> bool:
        for node in nodes[:1]:
            try:
                return rules.is_vnet(self._wish.bridge, await self._connectable(node))
            except ZlhError:
                # The row of its bridge says why.
                return False
        return False

    async def _connectable(self, node: str) -> Sequence[Mapping[str, Any]]:
        """Return what guests can be connected to on a node, as far as the token may use it."""
        listed: Sequence[Mapping[str, Any]] = await self._client.get(f"/nodes/{node}/network", type="any_bridge")
        return listed

    async def _rights_at(self, needs: Sequence[Need], roles: Mapping[str, frozenset[str]]) -> Rows:
        path, wish = needs[0].path, self._wish
        given = await self._permissions(path)
        of_user: Mapping[str, Any] | None = None
        if any(need.privilege not in given for need in needs):
            try:
                of_user = await self._permissions(path, userid=wish.user)
            except ZlhError:
                # That takes a right at /access, which nothing else here needs.
                of_user = None
        return [rules.judge_right(need, given, of_user=of_user, roles=roles, wish=wish) for need in needs]

    async def _permissions(self, path: str, **whose: str) -> Mapping[str, Any]:
        told: Mapping[str, Mapping[str, Any]] = await self._client.get("/access/permissions", path=path, **whose)
        return told.get(path) or {}

    async def _roles(self) -> Mapping[str, frozenset[str]]:
        try:
            listed = await self._client.get("/access/roles")
        except ZlhError:
            return {}
        return {str(each["roleid"]): frozenset(str(each.get("privs") or "").split(",")) for each in listed}

    async def _cluster(self) -> Rows:
        wish = self._wish
        rows: Rows = []
        if (pool := wish.pool) is not None:
            rows += await _guarded(f"pool {pool}", lambda: self._pool(pool))
        if isinstance(number := wish.template, int):
            rows += await _guarded(f"template {number}", lambda: self._template(number))
        return rows

    async def _pool(self, pool: str) -> PreflightRow:
        return rules.judge_pool(pool, await self._client.get("/pools"))

    async def _template(self, number: int) -> PreflightRow:
        listed = await self._client.get("/cluster/resources", type="vm")
        entry = next((each for each in listed if int(each["vmid"]) == number), None)
        is_container = entry is not None and entry.get("type") == "lxc"
        config = await self._client.get(f"/nodes/{entry['node']}/lxc/{number}/config") if entry and is_container else {}
        return rules.judge_template(number, entry, config)

    async def _node(self, node: str) -> Rows:
        wish = self._wish
        looks: dict[str, Look] = {
            f"clock of {node}": lambda: self._clock(node),
            f"storage {wish.storage} on {node}": lambda: self._storage(node),
            f"bridge {wish.bridge} on {node}": lambda: self._bridge(node),
            f"firewall on {node}": lambda: self._firewall(node),
            f"shell of {node}": lambda: self._programs(node),
        }
        if isinstance(volume := wish.template, str):
            looks[f"template on {node}"] = lambda: self._archive(node, volume)
        return [row for subject, look in looks.items() for row in await _guarded(subject, look)]

    async def _clock(self, node: str) -> PreflightRow:
        before = time.time()
        told = await self._client.get(f"/nodes/{node}/time")
        return rules.judge_clock(node, told, before=before, after=time.time())

    async def _storage(self, node: str) -> PreflightRow:
        return rules.judge_storage(node, self._wish, await self._client.get(f"/nodes/{node}/storage"))

    async def _archive(self, node: str, volume: str) -> PreflightRow:
        home = volume.partition(":")[0]
        listed = await self._client.get(f"/nodes/{node}/storage/{home}/content", content="vztmpl")
        return rules.judge_archive(node, volume, listed)

    async def _bridge(self, node: str) -> PreflightRow:
        listed = await self._client.get(f"/nodes/{node}/network")
        if not any(each.get("iface") == self._wish.bridge for each in listed):
            # Networks of the cluster's SDN stand in no node's file.
            listed = await self._connectable(node)
        return rules.judge_bridge(node, self._wish, listed)

    async def _firewall(self, node: str) -> PreflightRow:
        cluster = await self._client.get("/cluster/firewall/options")
        host = await self._client.get(f"/nodes/{node}/firewall/options")
        return rules.judge_firewall(node, find_switched_off(cluster, host, name=node))

    async def _programs(self, node: str) -> PreflightRow:
        return rules.judge_shell(node, await self._shell.find_missing_programs(node))

    async def _block(self, nodes: Sequence[str]) -> PreflightRow:
        """Ask the nodes and all guests that are not ours which addresses they have."""
        strangers: dict[str, str] = {}
        for node in nodes:
            for entry in await self._client.get(f"/nodes/{node}/network"):
                if entry.get("address"):
                    strangers[str(entry["address"])] = f"{entry['iface']} of {node}"
        room = asyncio.Semaphore(AT_ONCE)
        listed = await self._client.get("/cluster/resources", type="vm")
        asked = [each for each in listed if each.get("type") == "lxc" and each.get("node") in nodes]
        for found in await asyncio.gather(*(self._foreign_addresses(each, room) for each in asked)):
            strangers |= found
        return rules.judge_block(self._wish.address_block, strangers)

    async def _foreign_addresses(self, entry: Mapping[str, Any], room: asyncio.Semaphore) -> dict[str, str]:
        async with room:
            config = await self._client.get(f"/nodes/{entry['node']}/lxc/{entry['vmid']}/config")
        if parse_mark(config) is not None:
            return {}
        return dict.fromkeys(rules.find_addresses(config), f"CT {entry['vmid']}")


async def _guarded(subject: str, look: Look) -> Rows:
    """Look; what cannot be looked at is a row that says why."""
    try:
        found = await look()
    except ProxmoxDenied as error:
        return [PreflightRow(subject, Verdict.UNKNOWN, error.detail)]
    except SystemAway as away:
        return [PreflightRow(subject, Verdict.UNKNOWN, f"{away.system} does not answer: {away.reason}")]
    except ZlhError as error:
        return [PreflightRow(subject, Verdict.UNKNOWN, error.detail)]
    return found if isinstance(found, list) else [found]


def _refused(error: ZlhError, wish: Wish) -> PreflightRow:
    """Say why nothing at all can be looked at, and what to do about it."""
    name = wish.token_id.partition("!")[2]
    if isinstance(error, ProxmoxDenied):
        todo = (
            f"pveum user token list {wish.user}",
            f"pveum user token add {wish.user} {name} --privsep 0   # its secret into proxmox.token_file",
        )
        return PreflightRow("token", Verdict.LACKS, error.detail, todo)
    if isinstance(error, SystemAway):
        advice = "Is proxmox.url right, does pveproxy run, and is the certificate that of proxmox.ca or fingerprint?"
        return PreflightRow("API", Verdict.UNKNOWN, f"it does not answer: {error.reason}", (advice,))
    return PreflightRow("API", Verdict.UNKNOWN, error.detail)
