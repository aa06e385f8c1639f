"""HTTP of the catalog."""

from __future__ import annotations

from zlh_api.catalog.service import CatalogNotLoaded, CatalogService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.schema.catalog import (
    CatalogSummary,
    NamedOffers,
    RuntimeOffers,
    TemplateOffers,
    ValidateRuntime,
    Validation,
)


def endpoints(service: CatalogService) -> list[Endpoint]:
    """Return the endpoints of this slice; the catalog is the same for everybody who is signed in."""

    async def summary(call: Call) -> CatalogSummary:
        await service.catch_up()
        return service.summary(is_operator=call.caller.is_operator)

    async def runtimes(_call: Call) -> RuntimeOffers:
        await service.catch_up()
        return service.offers()

    async def addons(_call: Call) -> NamedOffers:
        await service.catch_up()
        return service.addon_offers()

    async def templates(_call: Call) -> TemplateOffers:
        await service.catch_up()
        return service.template_offers()

    async def validate(call: Call) -> Validation:
        await service.catch_up()
        return service.validate_wish(call.body)

    lost = (CatalogNotLoaded,)
    who = Policy.SIGNED_IN
    return [
        Endpoint("GET", "/api/catalog", who, summary, "Which catalog is in use", response=CatalogSummary),
        Endpoint(
            "GET",
            "/api/catalog/runtimes",
            who,
            runtimes,
            "Runtimes that can be installed",
            response=RuntimeOffers,
            refusals=lost,
        ),
        Endpoint(
            "GET", "/api/catalog/addons", who, addons, "Addons of dev containers", response=NamedOffers, refusals=lost
        ),
        Endpoint(
            "GET", "/api/catalog/templates", who, templates, "Game servers", response=TemplateOffers, refusals=lost
        ),
        Endpoint(
            "POST",
            "/api/catalog/validate",
            who,
            validate,
            "Can this runtime, addon or template be installed, and why not",
            ValidateRuntime,
            Validation,
            refusals=lost,
            name="validateChoice",
            example={"runtime": "node", "version": "24"},
        ),
    ]
