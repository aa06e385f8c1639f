"""HTTP of decisions about published versions, for operators."""

from __future__ import annotations

from zlh_api.artifacts.promotion import DecisionRefused, DecisionUnsure, Promotion, TargetsKeyAbsent
from zlh_api.catalog.service import CatalogNotLoaded, CatalogService
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_common.schema.catalog_decisions import DecidedVersion, DecideVersion, PublishedCatalog


def endpoints(catalog: CatalogService, promotion: Promotion) -> list[Endpoint]:
    """Return the endpoints of this part of the slice."""

    async def show(_call: Call) -> Answer:
        await catalog.catch_up()
        published = PublishedCatalog(
            offers=catalog.published(), may_sign=await promotion.may_sign(), command_options=promotion.command_options
        )
        return Answer(published, headers={"Cache-Control": "no-store"})

    async def decide(call: Call) -> DecidedVersion:
        wish: DecideVersion = call.body
        call.record.acts_on(f"{wish.kind} {wish.name} {wish.version}")
        call.note("decision", wish.act.value)
        call.note("makeDefault", wish.make_default or None)
        done = await promotion.decide(wish)
        call.note("channel", done.channel)
        call.note("default", done.default or None)
        return done

    return [
        Endpoint(
            "GET",
            "/api/platform/catalog",
            Policy.VIEW_PLATFORM,
            show,
            "Every published version, in whichever channel, and whether this API can sign decisions about them",
            response=PublishedCatalog,
            is_stable=False,
            refusals=(CatalogNotLoaded,),
            name="getPublishedCatalog",
        ),
        Endpoint(
            "POST",
            "/api/platform/catalog/decisions",
            Policy.MANAGE_PLATFORM,
            decide,
            "Make a published version stable, a candidate or the default, and sign that at once",
            DecideVersion,
            DecidedVersion,
            refusals=(TargetsKeyAbsent, DecisionRefused, DecisionUnsure),
            about="The same decision made once more comes to the same, so a lost answer may be asked for again.",
            act="catalog.decide",
            name="decideVersion",
            example={"act": "promote", "kind": "runtime", "name": "node", "version": "24.19.0", "makeDefault": True},
        ),
    ]
