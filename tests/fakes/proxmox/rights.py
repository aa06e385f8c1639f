"""Who may what: users, tokens, roles and the tree of paths on which they are given, as the real one computes it.

What is given to somebody at a deeper path takes the place of what comes from above, whatever that was; a pool adds its
own to its members. A token that is separated may what both it and its user may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ROLES = {
    "ZLHLook": {"Sys.Audit", "VM.Audit", "Pool.Audit", "Datastore.Audit"},
    "ZLHGuests": {
        "VM.Audit", "VM.Allocate", "VM.Clone", "VM.PowerMgmt", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Disk",
        "VM.Config.Network", "VM.Config.Options", "Pool.Audit",
    },
    "ZLHStorage": {"Datastore.Audit", "Datastore.AllocateSpace"},
    "ZLHNet": {"SDN.Use"},
}  # fmt: skip
USER_ID, TOKEN_ID = "zlh@pve", "zlh@pve!api"


@dataclass
class Access:
    """The rights of one user with one token; as the documentation has them, until somebody takes one away."""

    roles: dict[str, set[str]] = field(default_factory=lambda: {name: set(held) for name, held in ROLES.items()})
    # Path, then whose, then role, with whether it goes on below.
    acl: dict[str, dict[str, dict[str, bool]]] = field(
        default_factory=lambda: {
            "/": {USER_ID: {"ZLHLook": True}},
            "/pool/zlh": {USER_ID: {"ZLHGuests": True}},
            "/storage/local-lvm": {USER_ID: {"ZLHStorage": True}},
            "/sdn/zones/localnetwork/vmbr1": {USER_ID: {"ZLHNet": True}},
        }
    )
    is_separated: bool = False

    def take_away(self, role: str, privilege: str) -> None:
        """Take one privilege out of a role."""
        self.roles[role].discard(privilege)

    def permissions(self, who: str, path: str, *, pools: Mapping[str, set[int]]) -> dict[str, int]:
        """Return every privilege that somebody has at a path, with whether it goes on below."""
        if who == TOKEN_ID and not self.is_separated:
            who = USER_ID
        own = self._privileges(who, path, pools)
        if who == TOKEN_ID:
            of_user = self._privileges(USER_ID, path, pools)
            return {name: int(goes_on and of_user[name]) for name, goes_on in own.items() if name in of_user}
        return own

    def has(self, who: str, path: str, *privileges: str, pools: Mapping[str, set[int]]) -> bool:
        """Tell whether somebody has any of these at a path."""
        return any(name in self.permissions(who, path, pools=pools) for name in privileges)

    def _privileges(self, who: str, path: str, pools: Mapping[str, set[int]]) -> dict[str, int]:
        roles = self._roles(who, path)
        for pool, members in pools.items():
            if path in {f"/vms/{vmid}" for vmid in members}:
                roles = dict.fromkeys(self._roles(who, f"/pool/{pool}"), False) | roles
        found: dict[str, int] = {}
        for role, goes_on in roles.items():
            for name in self.roles.get(role, ()):
                found[name] = int(found.get(name, 0) or goes_on)
        return found

    def _roles(self, who: str, path: str) -> dict[str, bool]:
        roles: dict[str, bool] = {}
        for given in sorted(self.acl):
            is_final = given == path
            if given != "/" and not is_final and not path.startswith(f"{given}/"):
                continue
            new = {role: on for role, on in self.acl[given].get(who, {}).items() if is_final or on}
            roles = new or roles
        return roles
