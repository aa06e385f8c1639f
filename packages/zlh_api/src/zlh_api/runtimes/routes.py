"""HTTP of runtimes of a container that exists."""

from __future__ import annotations

from zlh_api.agents.routes import REFUSED_BY_AGENT
from zlh_api.catalog.service import CatalogNotLoaded
from zlh_api.containers.refusals import BeingDeleted, CannotInstall
from zlh_api.games.refusals import RuntimesOfGame
from zlh_api.runtimes.rules import (
    LastRuntime,
    NothingToRepair,
    NothingToRollBack,
    RuntimeIsDefault,
    RuntimeIsNewest,
    RuntimeIsOlder,
    RuntimeLimit,
    RuntimeNotFound,
    RuntimePending,
)
from zlh_api.runtimes.service import RuntimeService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.schema.runtime import (
    InstallRuntime,
    RuntimeInUse,
    RuntimePruning,
    Runtimes,
    RuntimeVerification,
    UpgradeRuntime,
    VerifyRuntime,
)

_OF_THE_CATALOG = (CannotInstall, CatalogNotLoaded)
_REFUSED = (BeingDeleted, RuntimeNotFound, RuntimesOfGame)
EVERY = "/api/containers/{vmid}/runtimes"
ONE = f"{EVERY}/{{runtime}}"
# What is done with a runtime has its own place there.
VERSION = f"{ONE}/{{version:(?!(?:rollback|upgrade|verify)$)[^/]+}}"


def endpoints(service: RuntimeService) -> list[Endpoint]:
    """Return the endpoints of this slice."""
    return [*_choosing_endpoints(service), *_keeping_endpoints(service)]


def _choosing_endpoints(service: RuntimeService) -> list[Endpoint]:
    """Return those by which people say which versions there are, and which is the default."""

    async def index(call: Call) -> Runtimes:
        return service.report(call.container)

    async def install(call: Call) -> Runtimes:
        call.note("runtime", call.body.name)
        call.note("version", call.body.version)
        return await service.install(call.container, call.body)

    async def upgrade(call: Call) -> Runtimes:
        call.note("version", call.body.version)
        return await service.upgrade(call.container, _name(call), call.body.version)

    async def roll_back(call: Call) -> Runtimes:
        return await service.roll_back(call.container, _name(call))

    view, change, both = Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER, Runtimes
    say_install, say_back = "Install a version, or make it the default", "Go back to the version before the default"
    return [
        Endpoint("GET", EVERY, view, index, "Runtimes that are installed or wanted", response=both),
        Endpoint(
            "POST",
            EVERY,
            change,
            install,
            say_install,
            InstallRuntime,
            both,
            202,
            refusals=(*_REFUSED, *_OF_THE_CATALOG, RuntimeLimit),
            name="installRuntime",
            act="runtime.install",
            example={"name": "node", "version": "24"},
        ),
        Endpoint(
            "POST", f"{ONE}/upgrade", change, upgrade, "Take a newer default", UpgradeRuntime, both, 202,
            is_body_optional=True, act="runtime.upgrade",
            refusals=(*_REFUSED, *_OF_THE_CATALOG, RuntimeLimit, RuntimeIsNewest, RuntimeIsOlder),
        ),
        Endpoint(
            "POST", f"{ONE}/rollback", change, roll_back, say_back, response=both, status=202,
            refusals=(*_REFUSED, NothingToRollBack), act="runtime.roll-back",
        ),
    ]  # fmt: skip


def _keeping_endpoints(service: RuntimeService) -> list[Endpoint]:
    """Return those by which versions that are there are checked, repaired and removed."""

    async def prune(call: Call) -> RuntimePruning:
        return await service.prune(call.container)

    async def verify(call: Call) -> RuntimeVerification:
        call.note("version", call.body.version)
        return await service.verify(call.container, _name(call), call.body.version)

    async def repair(call: Call) -> Runtimes:
        return await service.repair(call.container, _name(call), _version(call))

    async def remove(call: Call) -> Runtimes:
        return await service.remove(call.container, _name(call), _version(call))

    change, found, pruned = Policy.CHANGE_CONTAINER, RuntimeVerification, RuntimePruning
    return [
        Endpoint(
            "POST", f"{EVERY}/prune", change, prune, "Remove what is kept for a rollback", None, pruned, 202,
            refusals=(*_REFUSED, RuntimeInUse), name="pruneRuntimes", act="runtime.prune",
        ),
        Endpoint(
            "POST", f"{ONE}/verify", change, verify, "Compare every file of a version with its hash", VerifyRuntime,
            found, is_body_optional=True, refusals=(*_REFUSED, *REFUSED_BY_AGENT, RuntimePending), act="runtime.verify",
        ),
        Endpoint(
            "POST", f"{VERSION}/repair", change, repair, "Unpack a version anew", response=Runtimes, status=202,
            refusals=(*_REFUSED, NothingToRepair), name="repairRuntime", act="runtime.repair",
        ),
        Endpoint(
            "DELETE", VERSION, change, remove, "Remove a version", response=Runtimes, status=202,
            refusals=(*_REFUSED, LastRuntime, RuntimeIsDefault, RuntimeInUse), name="deleteRuntime",
            act="runtime.remove",
        ),
    ]  # fmt: skip


def _name(call: Call) -> str:
    """Return the name in the path; it leads on only where the container has such a runtime."""
    return call.request.match_info["runtime"]


def _version(call: Call) -> str:
    return call.request.match_info["version"]
