"""The words of permissions: what a role is made of, what a token can be held to, and what an endpoint asks for."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a user is to a customer."""

    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"


class Permission(StrEnum):
    """One kind of act. Whoever calls needs it by role, and a token must carry it in its scopes besides."""

    # State, history and metrics of containers.
    VIEW_CONTAINERS = "containers:view"
    # Start, stop, restart, kill: of containers and of their processes.
    POWER_CONTAINERS = "containers:power"
    # Create, size, rename, delete; processes, runtimes, ports.
    CHANGE_CONTAINERS = "containers:change"
    # Shells and consoles, to read and to type: whoever has a shell has all that is in the container.
    USE_CONSOLES = "consoles:use"
    # Read, list and search files: whoever may has all that the customer's user can read in the container.
    READ_FILES = "files:read"
    # Write, move and delete them.
    WRITE_FILES = "files:write"
    # Who belongs to a customer, and how much of its quota is used.
    VIEW_CUSTOMER = "customer:view"
    # Members, roles, invitations.
    MANAGE_CUSTOMER = "customer:manage"
    VIEW_AUDIT_LOG = "audit-log:view"
    # One's own sessions, tokens and password.
    MANAGE_ACCOUNT = "account:manage"
    # What operators see and do, for all customers.
    VIEW_PLATFORM = "platform:view"
    MANAGE_PLATFORM = "platform:manage"
