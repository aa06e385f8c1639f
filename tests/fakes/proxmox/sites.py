"""What a cluster tells of itself: its version, and of each node time, storage and networks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fakes.proxmox import parameters
from fakes.proxmox.access import demand
from fakes.proxmox.parameters import check
from fakes.proxmox.state import Cluster, Refusal, wrong

Given = Mapping[str, str]


def show_version(cluster: Cluster, _user: str, given: Given) -> dict[str, str]:
    """`GET /version`."""
    check(given, {})
    release = ".".join(cluster.version.split(".")[:2])
    return {"version": cluster.version, "release": release, "repoid": "0123456789abcdef"}


def show_time(cluster: Cluster, user: str, given: Given, node: str) -> dict[str, Any]:
    """`GET /nodes/{n}/time`."""
    check(given, {})
    demand(cluster, user, f"/nodes/{node}", "Sys.Audit")
    now = int(time.time() + cluster.nodes[node].clock_ahead_s)
    return {"timezone": "Etc/UTC", "time": now, "localtime": now}


def list_storages(cluster: Cluster, user: str, given: Given, node: str) -> list[dict[str, Any]]:
    """`GET /nodes/{n}/storage`: those that one may see, and that this node is told to have."""
    values = check(given, parameters.STORAGES)
    site = cluster.nodes[node]
    entries = []
    for name, storage in site.storages.items():
        if not cluster.access.has(
            user, f"/storage/{name}", "Datastore.Audit", "Datastore.AllocateSpace", pools=cluster.pools
        ):
            continue
        entry = {"storage": name, "type": "lvmthin", "enabled": 1, "active": 1, "shared": 0, **storage}
        entries.append({**entry, "total": site.disk, "used": 0, "avail": entry.get("avail", site.disk)})
    wanted = values.get("storage")
    if wanted is not None and wanted not in site.storages:
        raise wrong(storage="No such storage.")
    return [entry for entry in entries if wanted in {None, entry["storage"]}]


def list_content(cluster: Cluster, user: str, given: Given, node: str, storage: str) -> list[dict[str, Any]]:
    """`GET /nodes/{n}/storage/{s}/content`: archives that a storage has on this node."""
    values = check(given, parameters.CONTENT)
    demand(cluster, user, f"/storage/{storage}", "Datastore.AllocateSpace", "Datastore.Audit")
    if storage not in cluster.nodes[node].storages:
        raise Refusal(f"storage '{storage}' does not exist")
    if values.get("content") not in {None, "vztmpl"}:
        return []
    lost = cluster.nodes[node].lost_archives
    return [
        {"volid": volume, "format": "tzst", "size": 143_654_912, "content": "vztmpl", "ctime": 1_760_000_000}
        for volume in sorted(cluster.templates - lost)
        if volume.startswith(f"{storage}:")
    ]


def list_networks(cluster: Cluster, user: str, given: Given, node: str) -> list[dict[str, Any]]:
    """`GET /nodes/{n}/network`: what stands in the node's file; of what guests are connected to, what one may use."""
    wanted = check(given, parameters.NETWORKS).get("type")
    own = [{"iface": name, **entry} for name, entry in cluster.nodes[node].networks.items()]
    if wanted is None:
        return own
    zones = dict.fromkeys((each["iface"] for each in own), "localnetwork") | cluster.vnets
    bridges = [each for each in own if each["type"] in {"bridge", "OVSBridge"}]
    bridges += [{"iface": name, "type": "vnet", "active": 1} for name in sorted(cluster.vnets)]
    return [each for each in bridges if _may_use(cluster, user, f"/sdn/zones/{zones[each['iface']]}/{each['iface']}")]


def _may_use(cluster: Cluster, user: str, path: str) -> bool:
    return cluster.access.has(user, path, "SDN.Audit", "SDN.Use", pools=cluster.pools)
