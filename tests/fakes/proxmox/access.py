"""Calls on rights: what one may, which roles there are, which pools one sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakes.proxmox.parameters import ACL_PATH, USER, check
from fakes.proxmox.state import Cluster, Refusal

Given = Mapping[str, str]


def show_permissions(cluster: Cluster, user: str, given: Given) -> dict[str, dict[str, int]]:
    """`GET /access/permissions`: of oneself, or with a right at /access of somebody else."""
    values = check(given, {"path": ACL_PATH, "userid": USER})
    who = values.get("userid", user)
    if who != user and not cluster.access.has(user, "/access", "Sys.Audit", pools=cluster.pools):
        raise Refusal("Permission check failed (/access, Sys.Audit)", status=403)
    paths = [values["path"]] if "path" in values else ["/", "/access", "/nodes", "/pool", "/storage", "/vms"]
    shown = {path: cluster.access.permissions(who, path, pools=cluster.pools) for path in paths}
    return shown if "path" in values else {path: held for path, held in shown.items() if held}


def list_roles(cluster: Cluster, _user: str, given: Given) -> list[dict[str, Any]]:
    """`GET /access/roles`: for everybody."""
    check(given, {})
    ours = {name: ",".join(sorted(held)) for name, held in cluster.access.roles.items()}
    return [
        {"roleid": "NoAccess", "privs": "", "special": 1},
        *({"roleid": name, "privs": privileges, "special": 0} for name, privileges in ours.items()),
    ]


def list_pools(cluster: Cluster, user: str, given: Given) -> list[dict[str, Any]]:
    """`GET /pools`: those that one may see."""
    check(given, {})
    access, pools = cluster.access, cluster.pools
    return [{"poolid": name} for name in pools if access.has(user, f"/pool/{name}", "Pool.Audit", pools=pools)]


def demand(cluster: Cluster, user: str, path: str, *privileges: str) -> None:
    """Refuse who has none of these at a path."""
    if not cluster.access.has(user, path, *privileges, pools=cluster.pools):
        raise Refusal(f"Permission check failed ({path}, {'|'.join(privileges)})", status=403)
