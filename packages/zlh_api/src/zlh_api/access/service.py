"""Signing in at container hosts: what the proxy asks, and how a browser gets there and back."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from zlh_api.access import rules, store
from zlh_api.access.question_limits import QuestionLimits
from zlh_api.access.rules import Asked, Front
from zlh_api.containers.service import Hosting
from zlh_api.customers.model import Caller
from zlh_api.customers.secret import Secret, new_secret, token_digest
from zlh_api.database.pool import Database
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import PLATFORM_PATH, HostName

ENTER = f"{PLATFORM_PATH}enter"
AUTHORIZE = "/api/access"


class AccessNotSignedIn(ZlhError):
    """The host opens for those who are signed in at it."""

    code, status = "access_not_signed_in", 401

    def __init__(self) -> None:
        super().__init__("This address is not open to everybody. Open it in a browser, where you can sign in.")


class AccessOriginRefused(ZlhError):
    """A page of another origin may not act for whoever is signed in at a container's host."""

    code, status = "access_origin_refused", 403

    def __init__(self) -> None:
        super().__init__(
            "Pages of other origins may not use this address with your sign-in: requests must come from the "
            "container's own hosts, with their origin named."
        )


class AccessCodeInvalid(ZlhError):
    """The way back from the portal leads nowhere."""

    code, status = "access_code_invalid", 403

    def __init__(self) -> None:
        super().__init__(
            "This sign-in is used, over, or another browser's, or you may not open this any more. Begin anew."
        )


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may go on to the container; of a viewer who is signed in, or of anybody."""

    user_id: UUID | None


@dataclass(frozen=True, slots=True)
class SentAway:
    """The browser goes to the portal, and takes this nonce back from there."""

    location: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Entered:
    """The browser is known at the host by this token."""

    token: Secret
    location: str


class AccessService:
    """Who may open what is published."""

    def __init__(self, database: Database, hosting: Hosting, limits: QuestionLimits, *, portal_url: str) -> None:
        self._database = database
        self._hosting = hosting
        self._limits = limits
        self._portal_url = portal_url.rstrip("/")
        self.front = Front(hosting.domain, "https" if hosting.scheme == "https" else "http", hosting.port)

    async def judge(self, asked: Asked) -> Admitted | SentAway:
        """Say what becomes of a request; raise NotFound, AccessNotSignedIn, AccessOriginRefused, RateLimited."""
        digests = [token_digest(token) for token in asked.cookies.tokens]
        self._limits.admit(asked.host, digests, asked.client)
        async with self._database.connection() as connection:
            found = await store.look(connection, asked.host, asked.port, digests)
            if found is not None and found.is_stale and found.token_sha256 is not None:
                await store.slide(connection, found.token_sha256)
        if found is None or found.token_sha256 is None:
            self._limits.note_bad(asked.host, digests)
        else:
            self._limits.note_good(asked.host, found.token_sha256)
        if found is None:
            raise NotFound
        if found.is_public:
            return Admitted(None)
        if found.user_id is not None:
            if rules.is_foreign(asked, self.front, is_alone=found.is_addon):
                raise AccessOriginRefused
            return Admitted(found.user_id)
        if not asked.is_navigation:
            raise AccessNotSignedIn
        return self._send_away(asked)

    def _send_away(self, asked: Asked) -> SentAway:
        # Of one browser, all that is opened at once sets out with the same.
        nonce = asked.cookies.nonce or new_secret("").value
        query = urlencode({"state": rules.render_state(nonce), "path": rules.safe_path(asked.path)})
        return SentAway(f"{self._portal_url}{AUTHORIZE}/{asked.host.label}?{query}", nonce)

    async def find_customer(self, caller: Caller, host: HostName) -> UUID | None:
        """Return whose host this is, where the caller has to be signed in at it and may be; None where all may open it.

        Raise NotFound for one that is foreign as for one that there is not.
        """
        async with self._database.connection() as connection:
            found = await store.find(connection, host, caller.credential_id)
        # Who has joined since they were asked for has to come again.
        may_open = found is not None and found.may_open and caller.may_know(found.customer_id)
        if found is None or not (found.is_public or may_open):
            raise NotFound
        return None if found.is_public else found.customer_id

    async def issue_code(self, caller: Caller, host: HostName, *, state: str, path: str) -> str:
        """Return where the browser goes on to, with a code in the address; raise NotFound."""
        code = new_secret("")
        async with self._database.connection() as connection:
            made = caller.credential_id is not None and await store.insert_code(
                connection, host, caller.credential_id,
                code_sha256=code.digest, state=state, path=rules.safe_path(path),
            )  # fmt: skip
        if not made:
            raise NotFound
        return f"{self.url(host, ENTER)}?{urlencode({'code': code.value})}"

    async def enter(self, host: HostName, *, code: str, nonce: str | None) -> Entered:
        """Take a code for a grant; raise AccessCodeInvalid."""
        token = new_secret("")
        if nonce is None or not rules.is_secret(code):
            raise AccessCodeInvalid
        async with self._database.transaction() as connection:
            taken = await store.take_code(
                connection, host.label, code_sha256=token_digest(code), state=rules.render_state(nonce)
            )
            has_entered = taken is not None and await store.insert_grant(connection, taken, token.digest)
        if not has_entered:
            raise AccessCodeInvalid
        return Entered(token, self.url(host, taken["path"]))

    def url(self, host: HostName, path: str) -> str:
        """Return where a path of a host opens."""
        return self._hosting.url(host).rstrip("/") + path

    async def seconds_to_expiry(self) -> float | None:
        """Return in how long the next grant ends by itself; None where there is none."""
        async with self._database.connection() as connection:
            return await store.seconds_to_expiry(connection)

    async def end_expired(self) -> None:
        """Forget what is over."""
        async with self._database.transaction() as connection:
            await store.delete_expired(connection)
