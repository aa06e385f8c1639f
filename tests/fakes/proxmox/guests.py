"""Calls on guests and tasks: what each does to the cluster, in the order in which the real one refuses."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

from fakes.proxmox import parameters
from fakes.proxmox.parameters import check
from fakes.proxmox.state import Cluster, Firewall, Guest, Refusal, Task, digest_of, parse_size, render_size, wrong

Given = Mapping[str, str]


def list_nodes(cluster: Cluster, _user: str, given: Given) -> list[dict[str, Any]]:
    """`GET /nodes`."""
    check(given, {})
    return [
        {"node": node.name, "status": "online" if node.is_up else "offline", "maxcpu": node.cores}
        for node in cluster.nodes.values()
    ]


def list_resources(cluster: Cluster, user: str, given: Given) -> list[dict[str, Any]]:
    """`GET /cluster/resources`: what nodes have told of themselves a moment ago."""
    wanted = check(given, parameters.RESOURCES).get("type")
    guests = cluster.list_guests() if cluster.frozen_list is None else cluster.frozen_list
    nodes = []
    for node in cluster.nodes.values():
        entry: dict[str, Any] = {"id": f"node/{node.name}", "type": "node", "node": node.name}
        up = {"status": "online", "maxcpu": node.cores, "maxmem": node.memory, "mem": node.used_memory, "cpu": 0.01}
        nodes.append({**entry, **(up if node.is_up else {"status": "offline"})})
        storage = {"type": "storage", "storage": cluster.storage, "node": node.name, "plugintype": "lvmthin"}
        if not cluster.access.has(user, f"/storage/{cluster.storage}", "Datastore.Audit", pools=cluster.pools):
            continue
        figures = {"maxdisk": node.disk, "disk": 0, "shared": int(cluster.is_storage_shared)}
        nodes.append({**storage, **figures, "status": "available" if node.is_up else "unknown"})
    everything = [*guests, *nodes]
    kinds = {"vm": {"lxc", "qemu"}, "storage": {"storage"}, "node": {"node"}}.get(wanted or "")
    return [entry for entry in everything if kinds is None or entry["type"] in kinds]


def read_manager(cluster: Cluster, _user: str, given: Given) -> dict[str, Any]:
    """`GET /cluster/ha/status/manager_status`: a cluster without high availability has a manager that knows nobody."""
    check(given, {})
    states = {node.name: "maintenance" if node.is_maintained else "online" for node in cluster.nodes.values()}
    status = {"master_node": next(iter(states)), "node_status": states, "service_status": {}}
    return {"manager_status": status if cluster.has_high_availability else {}, "lrm_status": {}, "quorum": {}}


def next_id(cluster: Cluster, _user: str, _given: Given) -> str:
    """`GET /cluster/nextid`: reserves nothing, and is a string."""
    return str(next(number for number in range(100, 10**6) if number not in cluster.guests))


def list_containers(cluster: Cluster, _user: str, given: Given, node: str) -> list[dict[str, Any]]:
    """`GET /nodes/{n}/lxc`."""
    check(given, {})
    return [_status(guest) for guest in cluster.guests.values() if guest.node == node and guest.kind == "lxc"]


def create(cluster: Cluster, user: str, given: Given, node: str) -> str:
    """`POST /nodes/{n}/lxc`: begins with a lock alone; the task writes the rest half-way."""
    values = check(given, parameters.CREATE, needs=("vmid", "ostemplate"))
    _refuse_to_tokens(values)
    vmid, template = values.pop("vmid"), values.pop("ostemplate")
    size = _find_volume(cluster, values.pop("rootfs", f"{cluster.storage}:4"))
    values.pop("storage", None)
    pool = values.pop("pool", None)
    if pool is not None and pool not in cluster.pools:
        raise wrong(pool=f"pool '{pool}' does not exist")
    if template not in cluster.templates:
        raise Refusal(f"volume '{template}' does not exist")
    try:
        guest = cluster.begin_guest(node, vmid)
    except Refusal as refusal:
        raise Refusal(f"unable to create CT {vmid} - {refusal.reason}") from refusal
    cluster.count_making(node)
    if pool is not None:
        cluster.pools[pool].add(vmid)

    async def work() -> None:
        await asyncio.sleep(cluster.task_s / 2)
        guest.config |= {
            "arch": "amd64", "ostype": "debian", "memory": 512, "swap": 512, "unprivileged": 1, **_stored(values),
            "rootfs": f"{cluster.storage}:vm-{vmid}-disk-0,size={render_size(size)}",
        }  # fmt: skip
        await asyncio.sleep(cluster.task_s / 2)
        guest.config.pop("lock", None)
        cluster.making[node] -= 1

    return cluster.start_task("vzcreate", node, vmid, user, work)


def clone(cluster: Cluster, user: str, given: Given, node: str, vmid: int) -> str:
    """`POST …/clone`: the source is locked while it lasts, and the task bears its number."""
    values = check(given, parameters.CLONE, needs=("newid",))
    source, new_id, target = cluster.guest(node, vmid), values.pop("newid"), values.pop("target", node)
    if target != node and not cluster.is_storage_shared:
        raise Refusal(f"can't clone to non-shared storage '{cluster.storage}'")
    if values.get("storage") and not values.get("full", 0 if source.config.get("template") else 1):
        raise Refusal("parameter 'storage' not allowed for linked clones")
    source.check_lock()
    guest = cluster.begin_guest(target, new_id)
    source.config["lock"] = "disk"
    cluster.count_making(target)
    kept = {name: value for name, value in source.config.items() if name not in {"template", "lock", "tags"}}
    given_here: dict[str, Any] = {name: values[name] for name in ("hostname", "description") if name in values}
    guest.firewall = Firewall(dict(source.firewall.options), list(source.firewall.rules), dict(source.firewall.sets))

    async def work() -> None:
        await asyncio.sleep(cluster.task_s / 2)
        rootfs = f"{cluster.storage}:vm-{new_id}-disk-0,size={_disk(source)}"
        guest.config |= {**kept, **_stored(given_here), "rootfs": rootfs}
        guest.config["net0"] = re.sub(r"hwaddr=[^,]+", f"hwaddr=BC:24:11:00:{new_id % 90 + 10}:02", kept["net0"])
        await asyncio.sleep(cluster.task_s / 2)
        guest.config.pop("lock", None)
        source.config.pop("lock", None)
        cluster.making[target] -= 1

    return cluster.start_task("vzclone", node, vmid, user, work)


def read_config(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> dict[str, Any]:
    """`GET …/config`."""
    check(given, parameters.READ_CONFIG)
    config = cluster.guest(node, vmid).config
    return {**config, "digest": digest_of(config)}


def write_config(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> None:
    """`PUT …/config`: done when it answers."""
    values = check(given, parameters.CONFIG)
    guest = cluster.guest(node, vmid)
    _refuse_to_tokens(values)
    guest.check_lock()
    if "unprivileged" in values:
        raise Refusal("unable to modify read-only option: 'unprivileged'")
    if values.pop("digest", digest_of(guest.config)) != digest_of(guest.config):
        raise Refusal("detected modified configuration - file changed by other user? Try again.")
    for name in filter(None, re.split(r"[,;\s]+", str(values.pop("delete", "")))):
        guest.config.pop(name, None)
    guest.config |= _stored(values)
    guest.touched += 1


def resize(cluster: Cluster, user: str, given: Given, node: str, vmid: int) -> str:
    """`PUT …/resize`: grows, and nothing else."""
    values = check(given, parameters.RESIZE, needs=("disk", "size"))
    guest = cluster.guest(node, vmid)
    guest.check_lock()
    has, text = parse_size(_disk(guest)), values["size"]
    size = has + parse_size(text[1:]) if text.startswith("+") else parse_size(text)
    if size < has:
        raise Refusal("unable to shrink disk size")

    async def work() -> None:
        await asyncio.sleep(cluster.task_s)
        guest.config["rootfs"] = re.sub(r"size=[^,]+", f"size={render_size(size)}", guest.config["rootfs"])
        guest.touched += 1

    return cluster.start_task("resize", node, vmid, user, work)


def read_status(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> dict[str, Any]:
    """`GET …/status/current`."""
    check(given, {})
    return _status(cluster.guest(node, vmid))


def start(cluster: Cluster, user: str, given: Given, node: str, vmid: int) -> str:
    """`POST …/status/start`: locks are looked at within the task."""
    _refuse_skiplock(check(given, parameters.START))
    guest = cluster.guest(node, vmid)
    if guest.is_running:
        raise Refusal(f"CT {vmid} already running")

    async def work() -> str | None:
        await asyncio.sleep(cluster.task_s)
        guest.check_lock()
        guest.is_running, guest.started_at = True, time.monotonic()
        guest.touched += 1
        return None

    return cluster.start_task("vzstart", node, vmid, user, work)


def stop(cluster: Cluster, user: str, given: Given, node: str, vmid: int) -> str:
    """`POST …/status/stop`."""
    _refuse_skiplock(check(given, parameters.STOP))
    return _end(cluster, user, cluster.guest(node, vmid), "vzstop", cluster.task_s)


def shutdown(cluster: Cluster, user: str, given: Given, node: str, vmid: int) -> str:
    """`POST …/status/shutdown`: without force, who does not end in time goes on."""
    values = check(given, parameters.SHUTDOWN)
    guest, patience_s = cluster.guest(node, vmid), values.get("timeout", 60)
    if cluster.orderly_stop_s <= patience_s or values.get("forceStop"):
        return _end(cluster, user, guest, "vzshutdown", min(cluster.orderly_stop_s, patience_s) + cluster.task_s)
    if not guest.is_running:
        raise Refusal(f"CT {vmid} not running")

    async def work() -> str | None:
        await asyncio.sleep(patience_s)
        return "command 'lxc-stop' failed: exit code 2"

    return cluster.start_task("vzshutdown", node, vmid, user, work)


def read_interfaces(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> list[dict[str, Any]] | None:
    """`GET …/interfaces`: nothing of a stopped one, and no address in the first moment."""
    check(given, {})
    guest = cluster.guest(node, vmid)
    if not guest.is_running:
        return None
    parts = dict(part.split("=", 1) for part in guest.config["net0"].split(","))
    has_address = time.monotonic() - guest.started_at > 0.3
    address, _, prefix = parts.get("ip", "").partition("/")
    inet = [{"ip-address-type": "inet", "ip-address": address, "prefix": prefix}] if has_address else []
    return [{"name": "eth0", "hardware-address": parts["hwaddr"].lower(), "ip-addresses": inet}]


def destroy(cluster: Cluster, user: str, given: Given, node: str, vmid: int) -> str:
    """`DELETE …`: its firewall goes with it."""
    values = check(given, parameters.DESTROY)
    guest = cluster.guest(node, vmid)
    if guest.config.get("protection"):
        raise Refusal(f"can't remove CT {vmid} - protection mode enabled")
    guest.check_lock()
    if guest.is_running and not values.get("force"):
        raise Refusal(f"unable to destroy CT {vmid} - container is running")

    async def work() -> None:
        guest.config["lock"] = "destroyed"
        await asyncio.sleep(cluster.task_s)
        cluster.forget(vmid)

    return cluster.start_task("vzdestroy", node, vmid, user, work)


def list_tasks(cluster: Cluster, user: str, given: Given, node: str) -> list[dict[str, Any]]:
    """`GET /nodes/{n}/tasks`: those that have ended unless others are asked for, and one's own alone."""
    values = check(given, parameters.TASKS)
    source = values.get("source", "archive")
    found = []
    for task in cluster.tasks.values():
        is_active = task.exit_status is None
        is_meant = source == "all" or is_active is (source == "active")
        is_visible = task.user == user and task.kind not in cluster.hidden_kinds and not task.is_lost
        if task.node == node and is_meant and is_visible and values.get("vmid") in {None, _number(task.subject)}:
            entry = {"upid": task.upid, "node": node, "type": task.kind, "id": task.subject, "user": task.user}
            ended = {} if is_active else {"endtime": task.started_at, "status": task.exit_status}
            found.append({**entry, "starttime": task.started_at, **ended})
    return found[-values.get("limit", 50) :]


def read_task(cluster: Cluster, user: str, given: Given, node: str, upid: str) -> dict[str, Any]:
    """`GET …/tasks/{upid}/status`."""
    check(given, {})
    task = _task(cluster, user, node, upid)
    name, _, token = task.user.partition("!")
    entry = {"upid": upid, "node": node, "type": task.kind, "id": task.subject, "user": name, "tokenid": token}
    if task.exit_status is None:
        return {**entry, "status": "running"}
    return {**entry, "status": "stopped", "exitstatus": task.exit_status}


def read_log(cluster: Cluster, user: str, given: Given, node: str, upid: str) -> list[dict[str, Any]]:
    """`GET …/tasks/{upid}/log`."""
    check(given, parameters.LOG)
    return [{"n": number, "t": line} for number, line in enumerate(_task(cluster, user, node, upid).log, 1)]


def _task(cluster: Cluster, user: str, node: str, upid: str) -> Task:
    task = cluster.tasks.get(upid)
    if task is None or task.node != node or task.is_lost:
        raise wrong(upid="no such task")
    if task.user != user or task.kind in cluster.hidden_kinds:
        raise Refusal(f"Permission check failed (/nodes/{node}, Sys.Audit)", status=403)
    return task


def _end(cluster: Cluster, user: str, guest: Guest, kind: str, delay_s: float) -> str:
    if not guest.is_running:
        raise Refusal(f"CT {guest.vmid} not running")

    async def work() -> str | None:
        guest.check_lock()
        await asyncio.sleep(delay_s)
        guest.is_running = False
        guest.touched += 1
        return None

    return cluster.start_task(kind, guest.node, guest.vmid, user, work)


def _status(guest: Guest) -> dict[str, Any]:
    config = guest.config
    entry = {"vmid": guest.vmid, "status": "running" if guest.is_running else "stopped", "type": "lxc"}
    entry |= {name: config[name] for name in ("lock", "tags", "template") if name in config}
    memory = int(config.get("memory", 512)) * 2**20
    return {**entry, "name": config.get("hostname", ""), "maxmem": memory, "cpus": config.get("cores", 1), "uptime": 0}


def _disk(guest: Guest) -> str:
    match = re.search(r"size=([^,]+)", guest.config["rootfs"])
    assert match is not None
    return match[1]


def _find_volume(cluster: Cluster, text: str) -> int:
    match = re.fullmatch(r"([^/:\s]+):(\d+(?:\.\d+)?)", text)
    if match is None:
        raise wrong(rootfs="invalid format - format error")
    if match[1] != cluster.storage:
        raise Refusal(f"storage '{match[1]}' does not exist")
    return int(float(match[2]) * 2**30)


def _refuse_to_tokens(values: Mapping[str, Any]) -> None:
    features = [part for part in str(values.get("features", "")).split(",") if part]
    forbidden = [name for name in ("hookscript", "dev0", "mp0", "lock") if name in values]
    if forbidden or any(not part.startswith("nesting=") for part in features):
        raise Refusal(
            "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)", status=403
        )
    if str(values.get("unprivileged", 1)) == "0":
        raise Refusal("Permission check failed (/, Sys.Modify)", status=403)


def _refuse_skiplock(values: Mapping[str, Any]) -> None:
    if values.get("skiplock"):
        raise wrong(skiplock="Only root may use this option.")


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as a configuration holds them: text that ends, interfaces with what was added."""
    stored = dict(values)
    if "description" in stored:
        stored["description"] = stored["description"].rstrip("\n") + "\n"
    if "tags" in stored:
        stored["tags"] = ";".join(sorted({tag for tag in re.split(r"[;,\s]+", stored["tags"]) if tag}))
    for name in [name for name in stored if re.fullmatch(r"net\d+", name)]:
        parts = dict(part.split("=", 1) for part in stored[name].split(","))
        parts = {"hwaddr": "BC:24:11:12:34:56", "type": "veth", **parts}
        parts["hwaddr"] = parts["hwaddr"].upper()
        first = f"name={parts.pop('name')}"
        stored[name] = ",".join([first, *(f"{key}={parts[key]}" for key in sorted(parts))])
    return stored


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
