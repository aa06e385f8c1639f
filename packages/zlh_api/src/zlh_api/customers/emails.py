"""E-mail addresses that are given for people: refused where they are none, and kept in one spelling."""

from __future__ import annotations

from zlh_api.customers.email_rules import find_email_problem
from zlh_api.customers.rules import canonical_email
from zlh_common.errors import ZlhError


class EmailInvalid(ZlhError):
    """This is no e-mail address."""

    code, status = "email_invalid", 422

    def __init__(self, problem: str) -> None:
        super().__init__(f"This is no e-mail address. {problem}")


def checked_email(text: str) -> str:
    """Return an address as it is kept; raise EmailInvalid."""
    email = canonical_email(text)
    if problem := find_email_problem(email):
        raise EmailInvalid(problem)
    return email
