"""The record of a call that changes something, or that opens what stays open: begun before its handler, ended after it.

Where the record cannot be begun, the handler is not called. A call that the gate or its body stops is an entry of its
own; it stands in the log of the customer that the path speaks of where the caller may know of that customer, and in the
platform's otherwise, so nobody writes into the log of strangers, or learns from ours who they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

from aiohttp import web

from zlh_api.audit_log import rules
from zlh_api.audit_log.model import NOBODY, PLATFORM, Act, Ending
from zlh_api.audit_log.service import UNKNOWN, AuditLog
from zlh_api.customers.model import Caller
from zlh_api.web.client_address import address_group, client_address
from zlh_api.web.endpoint import Endpoint, Passed, Subject
from zlh_api.web.gate import FOUND
from zlh_api.web.problems import Internal, from_http
from zlh_common.errors import ZlhError
from zlh_common.request_ids import current_request_id
from zlh_common.schema.audit_log import Outcome

# What may stand in a path and be recorded of a call that nobody has looked at yet.
_OF_THE_GATE = frozenset({"vmid", "customer"})
# What a parameter of a path stands for, where its name does not say it.
_NOUNS = {"vmid": "container"}


class Recording:
    """What is written down of one call; the handler adds to it through its Call."""

    def __init__(self, log: AuditLog, endpoint: Endpoint, request: web.Request) -> None:
        assert endpoint.act is not None
        self._log = log
        self._endpoint = endpoint
        self.request = request
        self._caller: Caller | None = None
        self._address = client_address(request)
        self._act = Act(endpoint.act, request_id=current_request_id())
        self._begun: UUID | None = None
        self._is_in_handler = False
        self._is_open = False
        self._reason: tuple[str, str | None] | None = None

    async def begin(self) -> None:
        """Write down that the handler begins; raise where that cannot be, and it must not.

        Of a call that needs nobody signed in, the handler says who acts, and that begins it.
        """
        self._take_found()
        self._is_in_handler = True
        if self._endpoint.policy.subject is not Subject.ANYBODY:
            await self._begin()

    async def _begin(self) -> None:
        begun = uuid4()
        await self._log.begin(begun, self._act)
        self._begun = begun

    def _take_found(self) -> None:
        """Take over what the gate has found out, also of a call that it refused."""
        found = self.request.get(FOUND, Passed())
        self._caller = found.caller
        who = NOBODY if found.caller is None else rules.describe_caller(found.caller)
        chain, subject = _place(self.request, found)
        details: dict[str, str] = {}
        for name, value in self.request.match_info.items():
            if name not in _OF_THE_GATE and f"{name} {value}" != subject:
                details = rules.add_note(details, name, value)
        subject = None if subject is None else rules.clean(subject, most=rules.MAX_SUBJECT_CHARS)
        act = replace(self._act, who=who, chain=self._act.chain if chain is None else chain, subject=subject)
        self._act = replace(act, details=details, address=self._told_address(act))

    def _told_address(self, act: Act, *, is_done: bool = False) -> str | None:
        if self._is_for_anybody and act.chain != PLATFORM and not is_done:
            # Whoever is on their way in is none of the customer's people yet, and perhaps never.
            return None
        return rules.choose_address(self._address, self._caller, act.chain)

    @property
    def _is_for_anybody(self) -> bool:
        return self._endpoint.policy.subject is Subject.ANYBODY

    @property
    def _source(self) -> str:
        """Who is counted for it where it is refused; of a user who is about to begin, the address."""
        user = None if self._is_for_anybody else self._act.who.user_id
        return f"address {address_group(self._address)}" if user is None else f"user {user} {self._act.chain}"

    # What a handler says

    def note(self, name: str, value: object) -> None:
        """See Record."""
        if value is not None:
            self._act = replace(self._act, details=rules.add_note(self._act.details, name, value))

    def acts_on(self, subject: str) -> None:
        """See Record."""
        self._act = replace(self._act, subject=rules.clean(subject, most=rules.MAX_SUBJECT_CHARS))

    async def charge_to(self, customer_id: UUID) -> None:
        """See Record."""
        assert self._caller is not None
        assert rules.may_become(self._act, customer_id, self._caller), "told to people whom it does not concern"
        act = replace(self._act, chain=customer_id)
        self._act = replace(act, address=self._told_address(act))
        if self._begun is not None:
            await self._log.change(self._begun, self._act)

    async def acts_as(self, caller: Caller) -> None:
        """See Record."""
        self._caller = caller
        self._act = replace(self._act, who=rules.describe_caller(caller))
        if self._begun is None:
            await self._begin()

    async def note_open(self) -> None:
        """See Record."""
        assert self._begun is not None
        following = replace(self._act, word=rules.closing_word(self._act.word))
        await self._log.follow(self._begun, self._act, rules.decide_ending(101, None), following)
        self._act, self._is_open = following, True

    def note_end(self, reason: str, code: str | None = None) -> None:
        """See Record."""
        self._reason = self._reason or (reason, code)

    # How it ended

    async def finish(self, ending: Ending) -> None:
        """Append the entry, where the call is one that is recorded."""
        if self._begun is not None:
            if self._is_open:
                ending = self._ending_of_open(ending)
            act = replace(self._act, address=self._told_address(self._act, is_done=ending.outcome is Outcome.DONE))
            await self._log.finish(self._begun, act, ending, source=self._source)
        elif ending.outcome is Outcome.REFUSED:
            await self._refuse(ending)

    def _ending_of_open(self, ending: Ending) -> Ending:
        """Return how what stayed open has ended; that it did is no failure, whoever has ended it."""
        reason, code = self._reason or ("broken", ending.code)
        self.note("reason", reason)
        return Ending(Outcome.DONE, code=code)

    async def _refuse(self, ending: Ending) -> None:
        if not self._is_in_handler:
            self._take_found()
        if self._act.who.user_id is not None:
            await self._log.refuse(self._act, ending, f"user {self._act.who.user_id} {self._act.chain}")
        elif self._is_in_handler:
            # Whoever is not signed in and may not be, such as with a wrong password.
            await self._log.refuse(self._act, ending, f"address {address_group(self._address)}")


async def record(
    recording: Recording, carry_out: Callable[[Recording], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Carry out a call and record how it ended, whatever becomes of it."""
    try:
        response = await carry_out(recording)
    except ZlhError as error:
        await recording.finish(rules.ending_of(error))
        raise
    except web.HTTPException as error:
        await recording.finish(rules.ending_of(from_http(error, recording.request)))
        raise
    except (asyncio.CancelledError, ConnectionError):
        # The caller is gone; what the handler was doing may be done or not.
        await recording.finish(UNKNOWN)
        raise
    except Exception:
        await recording.finish(rules.decide_ending(Internal.status, Internal.code))
        raise
    await recording.finish(rules.decide_ending(response.status, None))
    return response


def _place(request: web.Request, found: Passed) -> tuple[UUID | None, str | None]:
    """Return whose log it stands in, None for what is so far the platform's, and what it is about."""
    if found.container is not None:
        return found.container.customer_id, f"container {found.container.vmid}"
    if found.customer is not None:
        return found.customer.id, f"customer {found.customer.id}"
    return None, next((f"{_NOUNS.get(name, name)} {value}" for name, value in request.match_info.items()), None)
