"""HTTP of suspensions."""

from __future__ import annotations

from zlh_api.customers.reports import render_customer
from zlh_api.customers.service import CustomerService
from zlh_api.suspensions.service import SuspensionService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.schema.customers import Customer, Suspend

ONE = "/api/customers/{customer}"


def endpoints(service: SuspensionService, customers: CustomerService) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def report(call: Call) -> Customer:
        return render_customer(call.caller, await customers.find_visible(call.caller, call.customer.id))

    async def suspend(call: Call) -> Customer:
        call.note("reason", call.body.reason)
        await service.suspend(call.customer.id, call.body.reason)
        return await report(call)

    async def resume(call: Call) -> Customer:
        await service.resume(call.customer.id)
        return await report(call)

    return [
        Endpoint(
            "POST",
            f"{ONE}/suspend",
            Policy.GOVERN_CUSTOMER,
            suspend,
            "Hold a customer back: what they have stops, and their people may only look",
            Suspend,
            Customer,
            act="customer.suspend",
        ),
        Endpoint(
            "POST",
            f"{ONE}/resume",
            Policy.GOVERN_CUSTOMER,
            resume,
            "Let a customer go on; what they have comes back as it was wanted",
            response=Customer,
            act="customer.resume",
        ),
    ]
