"""How callers are refused who are known, and may not."""

from __future__ import annotations

from uuid import UUID

from zlh_api.customers.rules import TICKET_LASTS
from zlh_common.errors import ZlhError
from zlh_common.schema.permissions import Permission

# Of a session or token that was good once, or never.
CREDENTIAL_OVER = "This token or session is unknown or over; sign in again."


class NotSignedIn(ZlhError):
    """The call needs a signed-in caller."""

    code, status = "not_signed_in", 401

    def __init__(self, why: str = "Sign in, or send a valid bearer token.") -> None:
        super().__init__(why)


class TicketInvalid(ZlhError):
    """The ticket opens nothing."""

    code, status = "ticket_invalid", 401

    def __init__(self) -> None:
        super().__init__(
            "This ticket is unknown, used, over or another container's; one opens a single WebSocket within "
            f"{TICKET_LASTS.total_seconds():.0f} s. Ask for a new one."
        )


class RoleMissing(ZlhError):
    """The caller may know of this, and their role does not allow the act."""

    code, status = "role_missing", 403

    def __init__(self, permission: Permission) -> None:
        super().__init__(
            f"Your role does not include {permission}; ask an owner of the customer for a role that does.",
            permission=permission,
        )


class ScopeMissing(ZlhError):
    """The token was not made for this, whatever its user may do."""

    code, status = "scope_missing", 403

    def __init__(self, permission: Permission) -> None:
        super().__init__(
            f"This token does not carry the scope {permission}; make one that does.", permission=permission
        )


class TokenBound(ZlhError):
    """The token is held to one customer, and this is about the whole account."""

    code, status = "token_bound", 403

    def __init__(self) -> None:
        super().__init__(
            "This token is held to one customer, so it reaches neither sessions nor the password nor other customers; "
            "use a session or a token without a customer."
        )


class CustomerSuspended(ZlhError):
    """The customer is held back by the platform; its people may look, and nothing more."""

    code, status = "customer_suspended", 403

    def __init__(self) -> None:
        super().__init__("This customer is suspended, so nothing can be changed or opened; ask who runs the platform.")


class AccountSuspended(ZlhError):
    """The user is held back by the platform; told to nobody but who knows the password."""

    code, status = "account_suspended", 403

    def __init__(self, user_id: UUID) -> None:
        super().__init__("This account is suspended; ask who runs the platform.")
        self.user_id = user_id


class LoginRefused(ZlhError):
    """The e-mail address and the password do not belong together."""

    code, status = "login_refused", 401

    def __init__(self, user_id: UUID | None = None) -> None:
        super().__init__("This e-mail address and password do not belong together.")
        # Whose address it is; told to nobody but the audit log.
        self.user_id = user_id


class LastOwner(ZlhError):
    """A customer keeps one owner who is not suspended."""

    code, status = "last_owner", 409

    def __init__(self) -> None:
        super().__init__(
            "This is the last owner of a customer who is not suspended; make somebody else an owner first."
        )


class LastOperator(ZlhError):
    """The platform keeps one operator who is not suspended."""

    code, status = "last_operator", 409

    def __init__(self) -> None:
        super().__init__("This is the last operator who is not suspended; make somebody else an operator first.")
