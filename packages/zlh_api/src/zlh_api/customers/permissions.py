"""Who may do what: pure tables, and nothing else decides it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from zlh_common.schema.permissions import Permission, Role

EVERYTHING = frozenset(Permission)
# Everybody manages their own account, whoever they work for.
OF_EVERYBODY = frozenset({Permission.MANAGE_ACCOUNT})
OF_OPERATORS = EVERYTHING

_VIEWER = frozenset({Permission.VIEW_CONTAINERS, Permission.VIEW_CUSTOMER})
_MEMBER = _VIEWER | {
    Permission.POWER_CONTAINERS,
    Permission.CHANGE_CONTAINERS,
    Permission.USE_CONSOLES,
    Permission.READ_FILES,
    Permission.WRITE_FILES,
}
_OWNER = _MEMBER | {Permission.MANAGE_CUSTOMER, Permission.VIEW_AUDIT_LOG}
BY_ROLE: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {Role.OWNER: _OWNER, Role.MEMBER: _MEMBER, Role.VIEWER: _VIEWER}
)
# A customer that is suspended still sees what it has, and why nothing goes.
WHILE_SUSPENDED = frozenset({Permission.VIEW_CONTAINERS, Permission.VIEW_CUSTOMER, Permission.VIEW_AUDIT_LOG})
