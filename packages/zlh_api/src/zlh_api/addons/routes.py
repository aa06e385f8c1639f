"""HTTP of addons of a container that exists."""

from __future__ import annotations

from zlh_api.addons.service import AddonService
from zlh_api.agents.routes import REFUSED_BY_AGENT
from zlh_api.catalog.service import CatalogNotLoaded
from zlh_api.containers.addon_rules import (
    AddonNameTaken,
    AddonNeedsDev,
    AddonNotFound,
    AddonNotOffered,
    AddonPortTaken,
)
from zlh_api.containers.refusals import BeingDeleted, CannotInstall
from zlh_api.runtimes.rules import (
    NothingToRepair,
    NothingToRollBack,
    RuntimeIsNewest,
    RuntimeIsOlder,
    RuntimeLimit,
    RuntimePending,
)
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.schema.addon import Addons, EnableAddon
from zlh_common.schema.runtime import RuntimeVerification, UpgradeRuntime, VerifyRuntime

_OF_THE_CATALOG = (AddonNotOffered, CannotInstall, CatalogNotLoaded)
_REFUSED = (BeingDeleted, AddonNotFound)
EVERY = "/api/containers/{vmid}/addons"
ONE = f"{EVERY}/{{addon}}"
VERSION = f"{ONE}/{{version:(?!(?:rollback|upgrade|verify)$)[^/]+}}"


def endpoints(service: AddonService) -> list[Endpoint]:
    """Return the endpoints of this slice."""
    return [*_choosing_endpoints(service), *_keeping_endpoints(service)]


def _choosing_endpoints(service: AddonService) -> list[Endpoint]:
    """Return those by which people say which addons there are, and which version of one runs."""

    async def index(call: Call) -> Addons:
        return service.report(call.container)

    async def enable(call: Call) -> Addons:
        call.note("addon", call.body.name)
        call.note("version", call.body.version)
        return await service.enable(call.container, call.body, enabled_by=call.caller.user_id)

    async def upgrade(call: Call) -> Addons:
        call.note("version", call.body.version)
        return await service.upgrade(call.container, _name(call), call.body.version)

    async def roll_back(call: Call) -> Addons:
        return await service.roll_back(call.container, _name(call))

    view, change = Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER
    return [
        Endpoint("GET", EVERY, view, index, "Addons that are there or wanted", response=Addons),
        Endpoint(
            "POST", EVERY, change, enable, "Have an addon, or another version of it", EnableAddon, Addons, 202,
            refusals=(BeingDeleted, *_OF_THE_CATALOG, AddonNeedsDev, AddonNameTaken, AddonPortTaken, RuntimeLimit),
            name="enableAddon", act="addon.enable", example={"name": "code-server"},
            about="Its port is published for as long as the container has it, and opens for the user who has enabled "
            "it and for owners of the customer, while they may use consoles. `url` in its status stands once it opens.",
        ),
        Endpoint(
            "POST", f"{ONE}/upgrade", change, upgrade, "Have a newer version run", UpgradeRuntime, Addons, 202,
            is_body_optional=True, act="addon.upgrade",
            refusals=(*_REFUSED, *_OF_THE_CATALOG, RuntimeLimit, RuntimeIsNewest, RuntimeIsOlder),
        ),
        Endpoint(
            "POST", f"{ONE}/rollback", change, roll_back, "Go back to the version that ran before", response=Addons,
            status=202, refusals=(*_REFUSED, NothingToRollBack), act="addon.roll-back",
        ),
    ]  # fmt: skip


def _keeping_endpoints(service: AddonService) -> list[Endpoint]:
    """Return those by which versions that are there are checked and repaired, and addons removed."""

    async def verify(call: Call) -> RuntimeVerification:
        call.note("version", call.body.version)
        return await service.verify(call.container, _name(call), call.body.version)

    async def repair(call: Call) -> Addons:
        return await service.repair(call.container, _name(call), call.request.match_info["version"])

    async def remove(call: Call) -> Addons:
        return await service.remove(call.container, _name(call))

    change = Policy.CHANGE_CONTAINER
    return [
        Endpoint(
            "POST", f"{ONE}/verify", change, verify, "Compare every file of an addon with its hash", VerifyRuntime,
            RuntimeVerification, is_body_optional=True, refusals=(*_REFUSED, *REFUSED_BY_AGENT, RuntimePending),
            act="addon.verify",
        ),
        Endpoint(
            "POST", f"{VERSION}/repair", change, repair, "Unpack a version of an addon anew", response=Addons,
            status=202, refusals=(*_REFUSED, NothingToRepair), name="repairAddon", act="addon.repair",
        ),
        Endpoint(
            "DELETE", ONE, change, remove, "Remove an addon and take its port back", response=Addons, status=202,
            refusals=_REFUSED, act="addon.remove",
        ),
    ]  # fmt: skip


def _name(call: Call) -> str:
    """Return the name in the path; it leads on only where the container has such an addon."""
    return call.request.match_info["addon"]
