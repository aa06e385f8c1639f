"""HTTP of the agents' versions and roll-outs, for operators."""

from __future__ import annotations

from zlh_api.catalog.service import CatalogNotLoaded
from zlh_api.rollouts.refusals import (
    AgentNotOffered,
    CanaryUnsuitable,
    RolloutGoesBack,
    RolloutNotSoFar,
    RolloutSharesWrong,
)
from zlh_api.rollouts.service import RolloutService
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.path_parameters import read_id
from zlh_api.web.query import one_of, page_limit, short_text, whole_number
from zlh_common.schema.lists import Items
from zlh_common.schema.rollouts import FleetAgents, MemberState, Rollout, RolloutDetail, StartRollout

ROLLOUTS = "/api/platform/rollouts"
ONE = f"{ROLLOUTS}/{{rollout}}"
LIMIT = page_limit(default=100, high=500)
AFTER_VMID = whole_number("after", "The `next` of the page before.", low=0, high=999_999_999, default=0)
BEFORE = whole_number("before", "The `next` of the page before.", low=1, high=2**53 - 1)
AFTER = short_text("after", "The `next` of the page before.", max_chars=64)
STATE = one_of("state", "Only those in this state.", [each.value for each in MemberState])
_FRESH = {"Cache-Control": "no-store"}
_ABOUT_START = (
    "One container comes first, or those that are named; then as much of all as `shares` say, each wave once the one "
    "before is through and its `soakMinutes` are over. It halts by itself where too many fail. Whoever is off or "
    "offline is told when it is back, for as long as no newer roll-out is begun. Programs in the containers go on."
)


def endpoints(service: RolloutService) -> list[Endpoint]:
    """Return the endpoints of this slice."""
    return [*_look_endpoints(service), *_change_endpoints(service)]


def _look_endpoints(service: RolloutService) -> list[Endpoint]:
    async def agents(call: Call) -> Answer:
        found = await service.fetch_agents(after=call.asked(AFTER_VMID), limit=call.asked(LIMIT))
        return Answer(found, headers=_FRESH)

    async def list_rollouts(call: Call) -> Answer:
        shown, following = await service.fetch_page(before=call.asked(BEFORE), limit=call.asked(LIMIT))
        items = tuple(shown)
        page = Items(items=items) if following is None else Items(items=items, next=str(following))
        return Answer(page, headers=_FRESH)

    async def show(call: Call) -> Answer:
        found = await service.fetch_detail(
            read_id(call.request.match_info, "rollout"),
            state=call.asked(STATE),
            after=call.asked(AFTER) or "",
            limit=call.asked(LIMIT),
        )
        return Answer(found, headers=_FRESH)

    view = Policy.VIEW_PLATFORM
    return [
        Endpoint(
            "GET",
            "/api/platform/agents",
            view,
            agents,
            "Which versions of the agent there are, who has which, and which the catalog offers",
            response=FleetAgents,
            query=(AFTER_VMID, LIMIT),
            is_stable=False,
            name="getAgents",
        ),
        Endpoint(
            "GET",
            ROLLOUTS,
            view,
            list_rollouts,
            "Roll-outs of versions of the agent, the newest first",
            response=Items[Rollout],
            query=(BEFORE, LIMIT),
            is_stable=False,
            name="listRollouts",
        ),
        Endpoint(
            "GET",
            ONE,
            view,
            show,
            "One roll-out with its waves, and how each container is",
            response=RolloutDetail,
            query=(STATE, AFTER, LIMIT),
            is_stable=False,
            name="getRollout",
        ),
    ]


def _change_endpoints(service: RolloutService) -> list[Endpoint]:
    async def start(call: Call) -> Rollout:
        wish: StartRollout = call.body
        call.note("version", wish.version)
        call.note("canaries", ",".join(map(str, wish.canaries)) or None)
        made = await service.start(wish, started_by=call.caller.email)
        call.note("rollout", made.id)
        return made

    async def pause(call: Call) -> Rollout:
        return await service.pause(read_id(call.request.match_info, "rollout"))

    async def resume(call: Call) -> Rollout:
        return await service.resume(read_id(call.request.match_info, "rollout"))

    async def cancel(call: Call) -> Rollout:
        return await service.cancel(read_id(call.request.match_info, "rollout"))

    async def retry(call: Call) -> Rollout:
        return await service.retry(read_id(call.request.match_info, "rollout"))

    manage = Policy.MANAGE_PLATFORM
    moves = (
        ("pause", pause, "Tell no further container; who is between two versions gets to an end"),
        ("resume", resume, "Go on; who has failed so far counts no more"),
        ("cancel", cancel, "End it; who has been updated stays so"),
        ("retry", retry, "Have those that failed told once more, and go on"),
    )
    return [
        Endpoint(
            "POST",
            ROLLOUTS,
            manage,
            start,
            "Bring all containers to a version of the agent, wave after wave",
            StartRollout,
            Rollout,
            status=201,
            creates=True,
            refusals=(AgentNotOffered, RolloutGoesBack, CanaryUnsuitable, RolloutSharesWrong, CatalogNotLoaded),
            about=_ABOUT_START,
            act="rollout.start",
            name="startRollout",
        ),
        *(
            Endpoint(
                "POST",
                f"{ONE}/{word}",
                manage,
                handler,
                summary,
                response=Rollout,
                refusals=(RolloutNotSoFar,),
                act=f"rollout.{word}",
                name=f"{word}Rollout",
            )
            for word, handler, summary in moves
        ),
    ]
