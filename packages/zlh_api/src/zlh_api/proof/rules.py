"""When is a link broken, who is looked at next, and is it one container's fault or everybody's? Pure.

Invariants: one failure alone is never a fault; what heals takes its fault back by itself, the more slowly the
oftener it came back lately; a fault that all show is told once, as an outage, and held against no container.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from zlh_api.edge.model import Router
from zlh_api.proof.model import AGENT, DNS, NAME, ROUTE, Change, LinkMemory, LinkSeen, Memory, Provable
from zlh_common.names import OwnerMark
from zlh_common.schema.edge import EdgeOutage, LinkState, ProofLink
from zlh_common.schema.status import Connection

# So many failures in a row make a fault.
FAILURES = 2
# A link that has broken more than once within this time must hold for longer before it is believed, up to the most.
FLAP_WINDOW = timedelta(minutes=30)
MOST_SUCCESSES = 8
# How soon the whole chain of a container is looked at again: of one that holds, one in doubt, one that is broken.
WHOLE_EVERY = timedelta(minutes=5)
DOUBTFUL_EVERY = timedelta(seconds=4)
BROKEN_EVERY = timedelta(seconds=15)
# How long a certificate that was shown stands for what is shown now.
CERTIFICATE_EVERY = timedelta(hours=6)
# Whoever renews certificates has failed to when one is this near to its end.
CERTIFICATE_DUE = timedelta(days=14)
# An outage is what this many show at least, and hardly any does not.
OUTAGE_FAILURES, OUTAGE_SHARE = 2, 4
MESSAGE_CHARS = 500
# Before everything that could be due.
_EVER = datetime(1, 1, 1, tzinfo=UTC)
_FAULTS = {ROUTE: "route_not_loaded", NAME: "name_not_answering"}
RECORDS_FAULT = "records_not_answered"
# Every word of the proof in `degraded`, in the order of the chain.
ALL_FAULTS = (_FAULTS[ROUTE], RECORDS_FAULT, _FAULTS[NAME])


def fault_of(link: str) -> str:
    """Return the word in `degraded` for a link that is broken."""
    return _FAULTS.get(link, RECORDS_FAULT)


def faults_of(memory: Memory) -> tuple[str, ...]:
    """Return the words for all links that are broken, in the order of the chain."""
    broken = sorted((each.link for each in memory.links if each.is_broken), key=_place)
    return tuple(dict.fromkeys(map(fault_of, broken)))


def take(known: LinkMemory | None, seen: LinkSeen, now: datetime) -> LinkMemory:
    """Return what is known of a link once it was seen again."""
    before = known or LinkMemory(seen.link, now, now, seen.is_good)
    lately = tuple(at for at in before.broken_at if now - at < FLAP_WINDOW)
    has_turned = known is None or before.is_good is not seen.is_good
    after = replace(
        before,
        at=now,
        since=now if has_turned else before.since,
        is_good=seen.is_good,
        code=seen.code,
        message=_bounded(seen.message),
        failures=0 if seen.is_good else before.failures + 1,
        successes=before.successes + 1 if seen.is_good else 0,
        broken_at=lately,
    )
    if before.is_broken:
        return replace(after, is_broken=after.successes < successes_needed(lately))
    if after.failures >= FAILURES:
        return replace(after, is_broken=True, broken_at=(*lately, now)[-MOST_SUCCESSES:])
    return after


def _bounded(message: str | None) -> str | None:
    # What the other end of a name says stands in such messages, and the database takes no NUL.
    return None if message is None else message.replace("\0", "")[:MESSAGE_CHARS]


def successes_needed(broken_at: Sequence[datetime]) -> int:
    """Return how often in a row a broken link must hold: once, and twice as often for each time that it came back."""
    return int(min(2 ** max(0, len(broken_at) - 1), MOST_SUCCESSES))


def take_all(memory: Memory, seen: Iterable[LinkSeen], now: datetime) -> Memory:
    """Return what is known of a container once some of its links were seen again."""
    links = {each.link: each for each in memory.links}
    for each in seen:
        links[each.link] = take(links.get(each.link), each, now)
    return replace(memory, links=tuple(sorted(links.values(), key=lambda each: _place(each.link))))


def forget_links(memory: Memory, configured: Collection[str]) -> Memory:
    """Return what is known without the links of providers that are not configured any more."""
    kept = tuple(each for each in memory.links if not each.link.startswith(DNS) or each.link in configured)
    return memory if len(kept) == len(memory.links) else replace(memory, links=kept)


def find_changes(before: Memory, after: Memory) -> list[Change]:
    """Return the links that are called broken from now on, and those that are no more."""
    changes = []
    for link in after.links:
        known = before.find(link.link)
        if link.is_broken is not (known is not None and known.is_broken):
            changes.append(Change(link.link, link.is_broken, link.code, link.message, link.since))
    return changes


def tell_change(change: Change) -> str:
    """Return the sentence for a container's history."""
    if change.is_broken:
        return change.message or f"The link {change.link} does not hold."
    return _MENDED.get(change.link, f"The DNS provider {change.link.removeprefix(DNS)} answers as it should again.")


_MENDED = {ROUTE: "The proxy uses the route again.", NAME: "The public name leads to the container again."}


def is_news(before: Memory, after: Memory) -> bool:
    """Tell whether there is more to keep than that all is as it was."""
    return list(map(_state, before.links)) != list(map(_state, after.links))


def _state(link: LinkMemory) -> tuple[object, ...]:
    # How often something that is believed to hold has held is worth no write.
    held = link.successes if link.is_broken else 0
    return link.link, link.is_good, link.is_broken, link.failures, held, link.code, link.message


def judge_route(expected: Sequence[tuple[str, str, str]], routers: Mapping[tuple[str, str], Router]) -> LinkSeen:
    """Tell whether the proxy uses every router of a container's file, with the very service of this file."""
    for protocol, name, service in expected:
        router = routers.get((protocol, name))
        if router is None:
            return _not_loaded(f"The proxy does not list the route {name}.")
        if router.service.removesuffix("@file") != service:
            return _not_loaded(f"The proxy uses another file for the route {name} than the one that was written.")
        if router.status != "enabled":
            return _not_loaded(f"The proxy does not use the route {name}: {router.error or router.status}.")
    return LinkSeen(ROUTE, is_good=True)


def _not_loaded(message: str) -> LinkSeen:
    return LinkSeen(ROUTE, is_good=False, code=_FAULTS[ROUTE], message=message)


def is_outage(seen: Collection[LinkSeen], *, is_proxy_away: bool = False) -> bool:
    """Tell whether what fails here fails because of what all share, and of no container by itself.

    One container that fails alone has no other to be compared with: there, the proxy's own silence decides.
    """
    failed = sum(not each.is_good for each in seen)
    needed = 1 if is_proxy_away else OUTAGE_FAILURES
    return failed >= needed and (len(seen) - failed) * OUTAGE_SHARE <= failed


def keep_since(before: Sequence[EdgeOutage], now: Sequence[EdgeOutage]) -> tuple[EdgeOutage, ...]:
    """Return the outages of now, each since it began."""
    begun = {each.code: each.since for each in before}
    return tuple(
        EdgeOutage(code=each.code, message=each.message, since=begun.get(each.code, each.since)) for each in now
    )


def choose_due(
    rows: Sequence[Provable],
    memories: Mapping[OwnerMark, Memory],
    hinted: Collection[int],
    *,
    now: datetime,
    limit: int,
) -> list[Provable]:
    """Return whose chain is looked at as a whole now: whom a person asked for, then hints, then who has waited longest.

    Where more are due than may be looked at, none of these is left out for ever: whoever is looked at goes to the end.
    """
    due = []
    for row in rows:
        memory = memories.get(row.owner, Memory())
        is_hinted = row.vmid in hinted
        at = due_at(memory)
        if row.is_asked or is_hinted or at is None or at <= now:
            due.append((not row.is_asked, not is_hinted, at or _EVER, row.vmid, row))
    return [entry[-1] for entry in sorted(due, key=lambda entry: entry[:-1])[:limit]]


def due_at(memory: Memory) -> datetime | None:
    """Return when a container's chain is to be looked at as a whole; None where that was never done."""
    if memory.checked_at is None:
        return None
    return memory.checked_at + _interval_of(memory)


def _interval_of(memory: Memory) -> timedelta:
    if any(is_doubtful(link) for link in memory.links):
        return DOUBTFUL_EVERY
    if any(link.is_broken for link in memory.links):
        return BROKEN_EVERY
    return WHOLE_EVERY


def is_doubtful(link: LinkMemory) -> bool:
    """Tell whether the last look has shown otherwise than what is said of a link."""
    return link.is_good is link.is_broken


def choose_witnesses(
    rows: Sequence[Provable], memories: Mapping[OwnerMark, Memory], asked: Collection[OwnerMark], *, limit: int
) -> list[Provable]:
    """Return containers that have answered, to be asked beside those that did not: is it they, or everything?"""
    sound = [row for row in rows if row.owner not in asked and _has_answered(memories.get(row.owner))]
    step = max(1, len(sound) // limit) if limit else 1
    return sound[::step][:limit]


def _has_answered(memory: Memory | None) -> bool:
    name = memory.find(NAME) if memory is not None else None
    return name is not None and name.is_good and not name.is_broken


def is_certificate_due(not_after: datetime, now: datetime) -> bool:
    """Tell whether a certificate ends so soon that its renewal must have failed."""
    return not_after - now < CERTIFICATE_DUE


def needs_certificate(memory: Memory, *, has_failed: bool, now: datetime) -> bool:
    """Tell whether it is time to see which certificate a name shows; also where it fails, since that may be why."""
    return has_failed or memory.certificate is None or now - memory.certificate.at > CERTIFICATE_EVERY


# What people see


def render_chain(
    row: Provable | None,
    memory: Memory,
    *,
    connection: Connection,
    heard_at: datetime | None,
    outages: Sequence[EdgeOutage],
    configured: Sequence[str],
    is_looking: bool,
) -> tuple[ProofLink, ...]:
    """Return the links as people see them; `row` is None for a container that was never ready.

    `is_looking` says whether any process looks at the ways to containers at all, and can.
    """
    if row is None or not row.is_due_to_answer:
        why = "It is looked at once the container was ready." if row is None else "The container should not run."
        names = (AGENT, ROUTE, DNS.removesuffix(":"), NAME)
        return tuple(ProofLink(link=name, state=LinkState.SKIPPED, message=why) for name in names)
    away = {link: outage for outage in outages if (link := _OUTAGES.get(outage.code))}
    not_seen = _LOOKED_AT_SOON if is_looking else _NOBODY_LOOKS
    return (
        _agent_link(connection, heard_at),
        _shown(ROUTE, memory, away.get(ROUTE), not_seen),
        *([_shown(each, memory, None, not_seen) for each in configured] or [_NO_PROVIDER]),
        _shown(NAME, memory, away.get(NAME), not_seen),
    )


# Of a link that was never looked at since the container was ready, which had been proved to become so.
_LOOKED_AT_SOON = "It was proved as the container became ready. Whether it still holds is looked at within a minute."
_NOBODY_LOOKS = (
    "It was proved as the container became ready. Whether it still holds cannot be looked at now; "
    "that follows by itself once the platform is well."
)


# What each outage takes from all containers.
PROXY_AWAY, ROUTES_MISSING, NAMES_SILENT = "proxy_away", "routes_missing", "names_silent"
_OUTAGES = {PROXY_AWAY: ROUTE, ROUTES_MISSING: ROUTE, NAMES_SILENT: NAME}
_NO_PROVIDER = ProofLink(
    link=DNS.removesuffix(":"),
    state=LinkState.SKIPPED,
    message="No DNS provider is configured; names are kept by hand.",
)


def _agent_link(connection: Connection, heard_at: datetime | None) -> ProofLink:
    match connection:
        case Connection.ONLINE:
            return ProofLink(link=AGENT, state=LinkState.HOLDS, at=heard_at)
        case Connection.CONNECTING:
            return ProofLink(link=AGENT, state=LinkState.UNKNOWN, at=heard_at, message="The agent is being called.")
        case Connection.OFFLINE:
            message = "The agent does not answer."
            return ProofLink(link=AGENT, state=LinkState.BROKEN, at=heard_at, code="agent_unreachable", message=message)


def _shown(name: str, memory: Memory, outage: EdgeOutage | None, not_seen: str) -> ProofLink:
    link = memory.find(name)
    if outage is not None and (link is None or not link.is_broken):
        return ProofLink(
            link=name,
            state=LinkState.UNKNOWN,
            at=link.at if link else None,
            since=outage.since,
            code=outage.code,
            message=outage.message,
        )
    if link is None:
        return ProofLink(link=name, state=LinkState.UNKNOWN, message=not_seen)
    if link.is_broken:
        state = LinkState.BROKEN if not link.is_good else LinkState.DOUBTFUL
    else:
        state = LinkState.HOLDS if link.is_good else LinkState.DOUBTFUL
    return ProofLink(link=name, state=state, at=link.at, since=link.since, code=link.code, message=link.message)


def _place(link: str) -> tuple[int, str]:
    order = {AGENT: 0, ROUTE: 1, NAME: 3}
    return order.get(link, 2), link
