"""HTTP of quotas."""

from __future__ import annotations

import msgspec

from zlh_api.quotas.service import QuotaService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.schema.customers import Quota, QuotaUse
from zlh_common.schema.lists import Items

ONE = "/api/customers/{customer}"


def endpoints(service: QuotaService) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def usage(call: Call) -> Items[QuotaUse]:
        return Items(items=await service.fetch_use(call.customer))

    async def set_quota(call: Call) -> Items[QuotaUse]:
        for name, value in msgspec.to_builtins(call.body).items():
            call.note(name, "default" if value is None else value)
        return Items(items=await service.set_quota(call.customer.id, call.body))

    view, govern, use = Policy.VIEW_CUSTOMER, Policy.GOVERN_CUSTOMER, Items[QuotaUse]
    return [
        Endpoint("GET", f"{ONE}/usage", view, usage, "What a customer has of what they may have", response=use),
        Endpoint(
            "PUT",
            f"{ONE}/quota",
            govern,
            set_quota,
            "Set how much a customer may have; what is null or left out is the platform's default",
            Quota,
            use,
            act="customer.quota",
        ),
    ]
