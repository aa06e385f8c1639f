"""A customer as its own people and operators see it."""

from __future__ import annotations

from zlh_api.customers.model import Caller, Customer
from zlh_common.schema import customers as schema
from zlh_common.schema.permissions import Permission


def report_customer(caller: Caller, customer: Customer) -> schema.Customer:
    """Return the report of a customer for one who may know of it."""
    entry = caller.membership_of(customer.id)
    return schema.Customer(
        id=str(customer.id),
        name=customer.name,
        created_at=customer.created_at,
        suspended=customer.suspended_at is not None,
        suspended_reason=customer.suspended_reason,
        role=None if entry is None else entry.role,
        permissions=tuple(permission for permission in Permission if caller.may(permission, customer.id)),
    )
