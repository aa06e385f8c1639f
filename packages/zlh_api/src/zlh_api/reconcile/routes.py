"""HTTP of the journal, for operators: how each try of a step ended."""

from __future__ import annotations

import re

from msgspec import UNSET

from zlh_api.place_rules import parse_instant, render_instant
from zlh_api.reconcile.attempts import AttemptsService
from zlh_api.reconcile.model import Attempt, Place, WantedAttempts
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.path_parameters import MAX_VMID
from zlh_api.web.query import Parameter, moment, one_of, page_limit, short_text, whole_number
from zlh_common.schema.lists import Items
from zlh_common.schema.step_attempts import AttemptOutcome, StepAttempt

JOURNAL = "/api/platform/journal"
_A_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


def _read_place(text: str) -> Place:
    match = _A_PLACE.fullmatch(text)
    at = parse_instant(match[1]) if match else None
    if match is None or at is None:
        raise ValueError(text)
    return Place(at, int(match[2]))


LIMIT = page_limit(default=50, high=200)
BEFORE: Parameter[Place | None] = Parameter(
    "before",
    "The `next` of the page before.",
    {"type": "string", "pattern": f"^{_A_PLACE.pattern}$"},
    _read_place,
    "the `next` of an earlier page",
    None,
)
CONTAINER = whole_number("container", "The number of a container, also of one that is gone.", low=1, high=MAX_VMID)
STEP = short_text("step", "The name of a step, such as `create-guest`.", max_chars=64, pattern="^[a-z][a-z0-9-]*$")
OUTCOME = one_of("outcome", "Only those that ended so.", [each.value for each in AttemptOutcome])
CODE = short_text("code", "The code of a failure, or of a wait.", max_chars=64, pattern="^[a-z][a-z0-9_]*$")
SINCE = moment("since", "None that ended before.")


def endpoints(attempts: AttemptsService) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def list_attempts(call: Call) -> Answer:
        limit = call.asked(LIMIT)
        outcome = call.asked(OUTCOME)
        found = await attempts.fetch_page(
            WantedAttempts(
                # One more tells whether there is a following page.
                limit + 1,
                before=call.asked(BEFORE),
                vmid=call.asked(CONTAINER),
                step=call.asked(STEP),
                outcome=None if outcome is None else AttemptOutcome(outcome),
                code=call.asked(CODE),
                since=call.asked(SINCE),
            )
        )
        following = render_place(found[limit - 1].place) if len(found) > limit else UNSET
        page = Items(items=tuple(map(render_attempt, found[:limit])), next=following)
        return Answer(page, headers={"Cache-Control": "no-store"})

    return [
        Endpoint(
            "GET",
            JOURNAL,
            Policy.VIEW_PLATFORM,
            list_attempts,
            "How tries of steps ended, of all containers, newest first",
            response=Items[StepAttempt],
            query=(BEFORE, LIMIT, CONTAINER, STEP, OUTCOME, CODE, SINCE),
            is_stable=False,
            about="Kept for 30 days, and no more than the last million; also of containers that are gone.",
            name="listJournal",
        )
    ]


def render_place(place: Place) -> str:
    """Return a place as a page's `next` tells it."""
    return f"{render_instant(place.at)}-{place.number}"


def render_attempt(attempt: Attempt) -> StepAttempt:
    """Return an attempt as it is shown."""
    return StepAttempt(
        id=render_place(attempt.place),
        at=attempt.place.at,
        vmid=attempt.vmid,
        name=attempt.name,
        customer_id=attempt.customer_id,
        step=attempt.step,
        attempt=attempt.attempt,
        outcome=attempt.outcome,
        code=attempt.code,
        reason=attempt.reason,
        duration_ms=attempt.duration_ms,
    )
