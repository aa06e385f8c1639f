"""HTTP of customers and their members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from zlh_api.customers.members import Members
from zlh_api.customers.refusals import LastOwner
from zlh_api.customers.reports import render_customer, render_member
from zlh_api.customers.rules import PLACE, parse_place
from zlh_api.customers.service import CustomerNameTaken, CustomerNotEmpty, CustomerService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.pages import LIMIT, PAGE_QUERY, SEARCH, read_page
from zlh_api.web.path_parameters import read_id
from zlh_api.web.query import Parameter
from zlh_common.schema.customers import CreateCustomer, Customer, Member, PatchCustomer, PatchMember
from zlh_common.schema.lists import Items

ALL = "/api/customers"
ONE = f"{ALL}/{{customer}}"


def _read_place(text: str) -> tuple[datetime, UUID] | None:
    """Return a place; None before all of them, which is how programs begin that always say `after`."""
    place = parse_place(text)
    if place is None and text:
        raise ValueError(text)
    return place


# By age and not by name: whoever is renamed while somebody turns pages is met once all the same.
AFTER_PLACE: Parameter[tuple[datetime, UUID] | None] = Parameter(
    "after",
    "The `next` of the page before.",
    {"type": "string", "pattern": f"^({PLACE.pattern})?$"},
    _read_place,
    "the `next` of an earlier page",
    None,
)


def customer_endpoints(service: CustomerService) -> list[Endpoint]:
    """Return the endpoints of customers themselves."""

    async def index(call: Call) -> Items[Customer]:
        found, following = await service.fetch_page(
            call.caller, after=call.asked(AFTER_PLACE), q=call.asked(SEARCH) or "", limit=call.asked(LIMIT)
        )
        return Items(items=tuple(render_customer(call.caller, entry) for entry in found), next=following or UNSET)

    async def create(call: Call) -> Customer:
        call.note("name", call.body.name)
        made = await service.create(call.body.name)
        call.record.acts_on(f"customer {made.id}")
        return render_customer(call.caller, made)

    async def show(call: Call) -> Customer:
        return render_customer(call.caller, call.customer)

    async def rename(call: Call) -> Customer:
        call.note("name", call.body.name)
        return render_customer(call.caller, await service.rename(call.caller, call.customer.id, call.body.name))

    async def delete(call: Call) -> None:
        call.note("name", call.customer.name)
        await service.delete(call.customer.id)

    listed, page = Policy.LIST_CUSTOMERS, Items[Customer]
    say_delete = "Delete a customer that has no containers"
    return [
        Endpoint(
            "GET",
            ALL,
            listed,
            index,
            "One's own customers, oldest first; for operators all",
            response=page,
            query=(AFTER_PLACE, LIMIT, SEARCH),
        ),
        Endpoint(
            "POST",
            ALL,
            Policy.MANAGE_PLATFORM,
            create,
            "Make a customer; invite its first owner next",
            CreateCustomer,
            Customer,
            201,
            creates=True,
            act="customer.create",
            refusals=(CustomerNameTaken,),
        ),
        Endpoint("GET", ONE, Policy.VIEW_CUSTOMER, show, "One customer", response=Customer),
        Endpoint(
            "PATCH", ONE, Policy.MANAGE_CUSTOMER, rename, "Rename a customer", PatchCustomer, Customer,
            act="customer.rename", refusals=(CustomerNameTaken,),
        ),
        Endpoint(
            "DELETE", ONE, Policy.GOVERN_CUSTOMER, delete, say_delete, status=204,
            act="customer.delete", refusals=(CustomerNotEmpty,),
        ),
    ]  # fmt: skip


def member_endpoints(members: Members) -> list[Endpoint]:
    """Return the endpoints of members."""

    async def index(call: Call) -> Items[Member]:
        page = read_page(call)
        found, following = await members.fetch_page(call.customer.id, after=page.after, limit=page.limit)
        return Items(items=tuple(map(render_member, found)), next=following or UNSET)

    async def change(call: Call) -> Member:
        role = call.body.role
        call.note("role", role)
        return render_member(await members.change_role(call.caller, call.customer.id, _user(call), role))

    async def remove(call: Call) -> None:
        await members.remove(call.caller, call.customer.id, _user(call))

    async def leave(call: Call) -> None:
        await members.leave(call.caller, call.customer.id)

    every, one = f"{ONE}/members", f"{ONE}/members/{{user}}"
    return [
        Endpoint(
            "GET",
            every,
            Policy.VIEW_CUSTOMER,
            index,
            "Who belongs to a customer",
            response=Items[Member],
            query=PAGE_QUERY,
        ),
        Endpoint(
            "PATCH",
            one,
            Policy.MANAGE_CUSTOMER,
            change,
            "Give a member another role",
            PatchMember,
            Member,
            act="member.change",
            refusals=(LastOwner,),
        ),
        Endpoint(
            "DELETE",
            one,
            Policy.MANAGE_CUSTOMER,
            remove,
            "Remove a member",
            status=204,
            act="member.remove",
            refusals=(LastOwner,),
        ),
        Endpoint(
            "POST",
            f"{ONE}/leave",
            Policy.LEAVE_CUSTOMER,
            leave,
            "Leave a customer that one belongs to",
            status=204,
            act="member.leave",
            refusals=(LastOwner,),
        ),
    ]


def _user(call: Call) -> UUID:
    return read_id(call.request.match_info, "user")
