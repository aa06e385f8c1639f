"""`zlh-api agents …`: beside the running API or without it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from zlh_api.audit_log.service import AuditLog
from zlh_api.rollouts.service import RolloutService
from zlh_common.clock import SystemClock
from zlh_common.errors import NotFound
from zlh_common.schema.rollouts import FleetAgents, MemberState, Rollout, RolloutMember, StartRollout
from zlh_common.schema.structs import convert, encode
from zlh_common.shown_text import clean_line

Opener = Callable[[], AbstractAsyncContextManager[RolloutService]]
# By whom a roll-out is begun that a host's shell begins.
STARTED_BY = "zlh-api agents"
_SHOWN = 20
MOST_CHARS = 1200


async def run(args: argparse.Namespace, opened: Opener) -> int:
    """Carry out one sub-command; return the exit code. What changes something stands in the audit log."""
    async with opened() as service:
        if args.agents_command == "show":
            return await _show(service, is_json=args.json)
        told = AuditLog(service.database, SystemClock())
        if args.agents_command == "roll-out":
            wish = convert({"version": args.version, "canaries": args.canary, "soakMinutes": args.soak}, StartRollout)
            async with told.command("rollout.start", {"version": wish.version}):
                shown = await service.start(wish, started_by=STARTED_BY)
        else:
            move = _moves(service)[args.agents_command]
            newest = await _find_newest(service)
            async with told.command(f"rollout.{args.agents_command}", {"rollout": newest.id}):
                shown = await move(UUID(newest.id))
        _say_lines(_describe(shown))
    return 0


def _moves(service: RolloutService) -> dict[str, Callable[[UUID], Awaitable[Rollout]]]:
    return {
        "pause": service.pause,
        "resume": service.resume,
        "cancel": service.cancel,
        "retry": service.retry,
    }


async def _find_newest(service: RolloutService) -> Rollout:
    newest, _ = await service.fetch_page(before=None, limit=1)
    if not newest:
        raise NotFound("roll-out")
    return newest[0]


async def _show(service: RolloutService, *, is_json: bool) -> int:
    agents = await service.fetch_agents(after=0, limit=1)
    newest, _ = await service.fetch_page(before=None, limit=1)
    failed = await _fetch_failed(service, newest[0]) if newest else []
    if is_json:
        document = {"versions": agents.versions, "offers": agents.offers, "rollouts": newest, "failed": failed}
        sys.stdout.write(encode(document).decode() + "\n")
        return 0
    _say_versions(agents)
    for rollout in newest:
        _say_lines(_describe(rollout))
    for member in failed:
        _say(f"  {member.vmid} {member.state}: {member.code} {member.message}")
    return 0


async def _fetch_failed(service: RolloutService, rollout: Rollout) -> list[RolloutMember]:
    found: list[RolloutMember] = []
    for state in (MemberState.FAILED, MemberState.UNDONE):
        page = await service.fetch_detail(UUID(rollout.id), state=state.value, after="", limit=_SHOWN)
        found.extend(page.members)
    return found


def _say_versions(agents: FleetAgents) -> None:
    for each in agents.versions:
        offered = "" if each.is_offered else ", which the catalog does not offer"
        _say(f"{each.version}  {each.containers} containers, {each.online} online{offered}")
    newest = ", ".join(each.version for each in agents.offers) or "no agent"
    _say(f"the catalog offers {newest}")


def _describe(rollout: Rollout) -> list[str]:
    """Return one line and one for each wave."""
    lines = [f"roll-out of {rollout.version}: {rollout.state}{f' — {rollout.reason}' if rollout.reason else ''}"]
    for number, wave in enumerate(rollout.waves):
        counts = ", ".join(f"{count} {state}" for state, count in wave.counts.items()) or "nobody"
        mark = ">" if number == rollout.wave else " "
        lines.append(f"{mark} wave {number + 1}: {counts}")
    return lines


def _say_lines(lines: Iterable[str]) -> None:
    for line in lines:
        _say(line)


def _say(line: str) -> None:
    """Print a line; what agents have said in it moves no cursor and begins no other."""
    sys.stdout.write(clean_line(line, MOST_CHARS) + "\n")
