"""Runtimes of a container that exists: what a customer may ask, and what its agent finds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from zlh_common.errors import ZlhError
from zlh_common.schema.spec import RuntimeName, RuntimeVersion
from zlh_common.schema.status import InstalledRuntime, Step
from zlh_common.schema.structs import Report, Request

# Names of files that one answer holds at most, of each kind.
MAX_NAMED_FILES = 100
# The longest path that a kernel takes, and names of processes with what they belong to.
FileName = Annotated[str, Meta(max_length=4096)]
ShortName = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class InstallRuntime(Request):
    """`POST …/runtimes`: one more version, beside those that are there."""

    name: RuntimeName
    # Exact or the leading part of one ("24"); the newest match is taken, without one the catalog's default.
    version: RuntimeVersion | None = None
    # Whether PATH leads to it; left out, it does where the runtime is new to the container.
    default: bool | None = None


class UpgradeRuntime(Request):
    """`POST …/runtimes/{name}/upgrade`: a newer default; the former one is kept to go back to."""

    version: RuntimeVersion | None = None


class VerifyRuntime(Request):
    """`POST …/runtimes/{name}/verify`: compare every file with its hash; the default version where none is named."""

    version: RuntimeVersion | None = None


class RuntimeVerification(Report):
    """What a check of one installed version has found; at most 100 names of each kind, sorted."""

    name: str
    version: str
    verified: bool
    checked_at: datetime
    # Of all kinds together, named or not.
    faults: Count
    changed: Annotated[tuple[FileName, ...], Meta(max_length=MAX_NAMED_FILES)] = ()
    missing: Annotated[tuple[FileName, ...], Meta(max_length=MAX_NAMED_FILES)] = ()
    added: Annotated[tuple[FileName, ...], Meta(max_length=MAX_NAMED_FILES)] = ()


class RuntimeUser(Report):
    """A process that runs from an installed tree, or has a file of it open."""

    pid: Count
    name: ShortName
    # The supervised process or terminal that it belongs to, where it belongs to one: "process web", "terminal main".
    owner: ShortName | None = None
    # Another version is the default by now; what was started through `current` has that one after a restart.
    outdated: bool = False


class RuntimeUsers(Report):
    """`GET /runtimes/{name}/{version}/users` of an agent: who keeps a version from being removed."""

    users: tuple[RuntimeUser, ...]


class PendingRuntime(Report):
    """A version that is wanted and not there yet, or there and not wanted any more, with the step that sees to it."""

    name: str
    version: str
    default: bool
    wanted: bool
    step: Step | None


class RuntimeRef(Report):
    """One version of one runtime."""

    name: str
    version: str


class Runtimes(Report):
    """`GET …/runtimes`: what is installed, as the agent last told, and what is still to happen."""

    runtimes: tuple[InstalledRuntime, ...]
    pending: tuple[PendingRuntime, ...] = ()
    # Where an upgrade would lead that names no version, as far as the catalog is there.
    upgrades: tuple[RuntimeRef, ...] = ()


class RuntimePruning(Report):
    """`POST …/runtimes/prune`: what goes, and what stays since it is in use."""

    removed: tuple[RuntimeRef, ...]
    in_use: tuple[RuntimeRef, ...] = ()


class RuntimeInUse(ZlhError):
    """A version that runs cannot be removed."""

    code, status = "runtime_in_use", 409

    def __init__(self, *, name: str, version: str, users: tuple[RuntimeUser, ...]) -> None:
        told = ", ".join(f"{user.owner or user.name} (pid {user.pid})" for user in users[:5])
        super().__init__(
            f"{name} {version} is in use by {told}; stop that first.",
            users=[{"pid": user.pid, "name": user.name, "owner": user.owner} for user in users[:20]],
        )
