"""HTTP of the catalog."""

from __future__ import annotations

from zlh_api.catalog.service import CatalogService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.schema.catalog import NamedOffers, Offer, RuntimeOffers, ValidateRuntime, Validation


def endpoints(service: CatalogService) -> list[Endpoint]:
    """Return the endpoints of this slice; the catalog is the same for everybody who is signed in."""

    async def runtimes(_call: Call) -> RuntimeOffers:
        return service.offers()

    async def addons(_call: Call) -> NamedOffers:
        return NamedOffers(items=tuple(Offer(name=name) for name in service.addons()))

    async def templates(_call: Call) -> NamedOffers:
        return NamedOffers(items=tuple(Offer(name=entry.name) for entry in service.current().templates))

    async def validate(call: Call) -> Validation:
        return service.validate(call.body.runtime, call.body.version, call.body.platform)

    who = Policy.SIGNED_IN
    return [
        Endpoint(
            "GET", "/api/catalog/runtimes", who, runtimes, "Runtimes that can be installed", response=RuntimeOffers
        ),
        Endpoint("GET", "/api/catalog/addons", who, addons, "Addons of dev containers", response=NamedOffers),
        Endpoint("GET", "/api/catalog/templates", who, templates, "Game templates", response=NamedOffers),
        Endpoint(
            "POST",
            "/api/catalog/validate",
            who,
            validate,
            "Can this runtime and version be installed, and why not",
            ValidateRuntime,
            Validation,
        ),
    ]
