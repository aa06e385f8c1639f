"""What is the next step? A pure comparison of what is wanted with what was seen.

    on       reserve-address → (reserve-ports) → create-guest → close-network → put-identity → start-guest
             → connect-agent → send-spec → (the agent's own steps) → publish-route → confirm-route
             → run-code-server → open-code-server → (run-server) → publish-records → answer-dns → check-ready;
             those of code-server where that is wanted, reserve-ports and run-server of a game server
    any time resize-guest, close-network where limits or the network rule are not as they must be
    sooner   publish-route, of what was ready once and goes on running: a port that is published waits for nothing else,
             and is led to its program by the spec that follows at once; where that has failed, in its turn
    early    renew-identity, of a guest that runs; where that has failed, last
    later    what is added to the spec of a container that was ready once is waited for behind its route; each run of
             its addons is opened last of all, and nothing waits for that
    off      stop-guest, also where one that ended by itself has left something → the route of what was ready once stays
             (so is what is suspended, whatever its own power says)
    records  of what was ready once: put off where they have just failed or a provider is away; nothing waits for them
    game     the guest stays up without its server, and one that is switched off before it was ready is not waited for;
             ports that a later version needs are reserved before its route is written
    deleting withdraw-route → stop-guest → destroy-guest → withdraw-records → release-address → forget
    open     close-network, or stop-guest where that failed, before all else: a guest that runs with an open network

Invariants: nothing is done to a guest that does not carry our mark; no guest starts before its network was seen to be
closed, and none that runs is left open; the route goes before the guest, and guest and records before the address; a
step is named here only while its effect is missing, so taking it twice is as good as once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from zlh_api.containers.model import Guest, Power
from zlh_common.schema.status import StepState


class Do(StrEnum):
    """A step that somebody must take now."""

    RESERVE_ADDRESS = "reserve-address"
    RESERVE_PORTS = "reserve-ports"
    CREATE_GUEST = "create-guest"
    CLOSE_NETWORK = "close-network"
    RESIZE_GUEST = "resize-guest"
    PUT_IDENTITY = "put-identity"
    START_GUEST = "start-guest"
    SEND_SPEC = "send-spec"
    RENEW_IDENTITY = "renew-identity"
    PUBLISH_ROUTE = "publish-route"
    CONFIRM_ROUTE = "confirm-route"
    OPEN_CODE_SERVER = "open-code-server"
    PUBLISH_RECORDS = "publish-records"
    ANSWER_DNS = "answer-dns"
    CHECK_READY = "check-ready"
    STOP_GUEST = "stop-guest"
    WITHDRAW_ROUTE = "withdraw-route"
    DESTROY_GUEST = "destroy-guest"
    WITHDRAW_RECORDS = "withdraw-records"
    RELEASE_ADDRESS = "release-address"
    FORGET = "forget"


class Await(StrEnum):
    """A step that takes place elsewhere; whoever takes it wakes us."""

    CONNECT_AGENT = "connect-agent"
    INSTALL = "install"
    RUN_CODE_SERVER = "run-code-server"
    RUN_SERVER = "run-server"


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything is as it is wanted."""


SETTLED = Settled()
Next = Do | Await | Settled

PROVISIONING_STEPS: tuple[str, ...] = (
    Do.RESERVE_ADDRESS,
    Do.CREATE_GUEST,
    Do.CLOSE_NETWORK,
    Do.PUT_IDENTITY,
    Do.START_GUEST,
    Await.CONNECT_AGENT,
    Do.SEND_SPEC,
    Do.PUBLISH_ROUTE,
    Do.CONFIRM_ROUTE,
    Do.PUBLISH_RECORDS,
    Do.ANSWER_DNS,
    Do.CHECK_READY,
)
DELETION_STEPS: tuple[str, ...] = (
    Do.WITHDRAW_ROUTE,
    Do.STOP_GUEST,
    Do.DESTROY_GUEST,
    Do.WITHDRAW_RECORDS,
    Do.RELEASE_ADDRESS,
    Do.FORGET,
)


# Of a container that is made with addons, behind `confirm-route`.
ADDON_STEPS: tuple[str, ...] = (Await.RUN_CODE_SERVER, Do.OPEN_CODE_SERVER)
# What is skipped where no DNS provider is configured.
RECORD_STEPS = frozenset({Do.PUBLISH_RECORDS, Do.ANSWER_DNS, Do.WITHDRAW_RECORDS})


@dataclass(frozen=True, slots=True)
class GameSteps:
    """What there is to do for a game server; without ports of the proxy for it, none are reserved."""

    has_ports: bool


def first_steps(
    *, has_dns: bool = False, has_addons: bool = False, game: GameSteps | None = None
) -> list[tuple[str, StepState]]:
    """Return the steps ahead of a new container."""
    steps = _list_steps(PROVISIONING_STEPS, has_dns=has_dns)
    if game is not None:
        # From the end on, so that the places before it stay.
        steps.insert(PROVISIONING_STEPS.index(Do.CONFIRM_ROUTE) + 1, (str(Await.RUN_SERVER), StepState.PENDING))
        ports = StepState.PENDING if game.has_ports else StepState.SKIPPED
        steps.insert(PROVISIONING_STEPS.index(Do.RESERVE_ADDRESS) + 1, (str(Do.RESERVE_PORTS), ports))
    if has_addons:
        at = PROVISIONING_STEPS.index(Do.CONFIRM_ROUTE) + 1
        steps[at:at] = [(str(name), StepState.PENDING) for name in ADDON_STEPS]
    return steps


def last_steps(*, has_dns: bool = False) -> list[tuple[str, StepState]]:
    """Return the steps ahead of a container that shall go."""
    return _list_steps(DELETION_STEPS, has_dns=has_dns)


def _list_steps(names: tuple[str, ...], *, has_dns: bool) -> list[tuple[str, StepState]]:
    skipped = frozenset[str]() if has_dns else RECORD_STEPS
    return [(str(name), StepState.SKIPPED if name in skipped else StepState.PENDING) for name in names]


class Route(StrEnum):
    """How far the container's file is on its way through the proxy."""

    ABSENT = "absent"
    # There is a file, and it is not what we would write now.
    STALE = "stale"
    # The file is right; the proxy has not been seen to use it.
    WRITTEN = "written"
    CONFIRMED = "confirmed"


class Records(StrEnum):
    """How far the container's records are at the DNS providers that are configured."""

    # Some are missing, or not those that we would write now; where it is deleted, some may be left.
    STALE = "stale"
    # All are right; nobody has seen them answered.
    WRITTEN = "written"
    # All are answered, or there is no provider; where it is deleted, none is left.
    SETTLED = "settled"


class Addons(StrEnum):
    """How far the addons of a container are."""

    # There are none, or what runs of each was seen to open.
    SETTLED = "settled"
    # On their way up; who brings them wakes us.
    WAITING = "waiting"
    # One runs, and nobody has seen it open.
    UNSEEN = "unseen"
    # One does not come up by itself; the step says why.
    ABSENT = "absent"


class Server(StrEnum):
    """How far the game server of a container is that was never ready."""

    # There is none, or it is ready.
    SETTLED = "settled"
    # On its way up; who brings it wakes us.
    WAITING = "waiting"
    # It does not come up by itself; the proof says why.
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the row asks for."""

    power: Power
    # Its customer is suspended: it is off, and what its power says waits.
    is_suspended: bool
    is_deleting: bool
    spec_generation: int
    is_restart_due: bool
    # Of a game container, which stays up for it.
    is_server_off: bool = False

    @property
    def is_off(self) -> bool:
        """Whether the guest should not run, for whichever reason."""
        return self.power is Power.OFF or self.is_suspended


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found when looking just now."""

    has_address: bool
    guest: Guest
    is_closed: bool
    is_sized: bool
    has_identity: bool
    is_agent_online: bool
    accepted_generation: int
    observed_generation: int
    route: Route
    is_proved: bool
    # Whether the last try to close its network did not come to its end.
    has_closing_failed: bool = False
    # Whether the last try to write its route came to nothing.
    has_publishing_failed: bool = False
    # Whether the host has refused the limits not long ago, and those before hold: the rest need not wait for them.
    is_resize_put_off: bool = False
    # Whether a guest that has stopped holds nothing any more that only a running one needs.
    is_tidy: bool = True
    # Whether the agent would take another identity while it runs, and be better off.
    may_renew_identity: bool = False
    # Whether the last try to give it one came to nothing.
    has_renewal_failed: bool = False
    records: Records = Records.SETTLED
    # Whether they have just failed, or wait for a provider, and the rest need not wait for them.
    is_records_put_off: bool = False
    addons: Addons = Addons.SETTLED
    # Whether each port of a game server that needs one has one of the proxy's.
    has_ports: bool = True
    server: Server = Server.SETTLED

    @property
    def is_resize_due(self) -> bool:
        """Whether limits must be set now."""
        return not self.is_sized and not self.is_resize_put_off


def decide_next(wanted: Wanted, seen: Seen) -> Next:
    """Return the next step, or SETTLED."""
    if seen.guest is Guest.RUNNING and not seen.is_closed:
        return _next_of_violator(wanted, seen)
    if wanted.is_deleting:
        return _next_of_deletion(seen)
    if wanted.is_off:
        return _next_of_off(seen)
    return (
        _next_of_guest(wanted, seen)
        or _next_of_changed_route(seen)
        or _next_of_agent(wanted, seen)
        or _next_of_identity(seen, is_first=True)
        or _next_of_install(wanted, seen, is_first=True)
        or _next_of_ports(seen)
        or _next_of_route(seen)
        or _next_of_addons(seen, is_first=True)
        or _next_of_server(wanted, seen)
        or _next_of_records(seen)
        or _next_of_proof(wanted, seen)
        or _next_of_identity(seen, is_first=False)
        or _next_of_addons(seen, is_first=False)
        or _next_of_install(wanted, seen, is_first=False)
        or SETTLED
    )


def _next_of_violator(wanted: Wanted, seen: Seen) -> Next:
    """It must not run like this for as long as other steps may take, whatever is wanted of it."""
    may_be_closed = seen.has_address and not wanted.is_deleting and not seen.has_closing_failed
    return Do.CLOSE_NETWORK if may_be_closed else Do.STOP_GUEST


def _next_of_off(seen: Seen) -> Next:
    if seen.guest is Guest.RUNNING:
        return Do.STOP_GUEST
    if seen.guest is Guest.STOPPED and seen.is_resize_due:
        return Do.RESIZE_GUEST
    # One that has ended by itself has left something, or new limits have needed its disk.
    if seen.guest is Guest.STOPPED and not seen.is_tidy:
        return Do.STOP_GUEST
    # Its name goes on leading to the page that stands in for it, and to nobody else.
    if not (seen.is_proved and seen.has_address):
        return SETTLED
    return _next_of_route(seen) or _next_of_records(seen) or SETTLED


def _next_of_deletion(seen: Seen) -> Next:
    if seen.route is not Route.ABSENT:
        return Do.WITHDRAW_ROUTE
    if seen.guest is Guest.RUNNING:
        return Do.STOP_GUEST
    if seen.guest in {Guest.STOPPED, Guest.HALF_MADE}:
        return Do.DESTROY_GUEST
    # A foreign guest stands where ours was: ours is gone, and the stranger is none of our business.
    if seen.records is not Records.SETTLED:
        return Do.WITHDRAW_RECORDS
    return Do.RELEASE_ADDRESS if seen.has_address else Do.FORGET


def _next_of_place(seen: Seen) -> Next | None:
    """Whoever cannot be reached by players is told so before anything is made."""
    if not seen.has_address:
        return Do.RESERVE_ADDRESS
    return Do.RESERVE_PORTS if not seen.has_ports and not seen.is_proved else None


def _next_of_guest(wanted: Wanted, seen: Seen) -> Next | None:
    if place := _next_of_place(seen):
        return place
    # On a foreign guest the step refuses, which is how its name reaches people.
    if seen.guest in {Guest.ABSENT, Guest.HALF_MADE, Guest.FOREIGN}:
        return Do.CREATE_GUEST
    if not seen.is_closed:
        return Do.CLOSE_NETWORK
    if seen.is_resize_due:
        return Do.RESIZE_GUEST
    if seen.guest is Guest.RUNNING:
        return Do.STOP_GUEST if wanted.is_restart_due else None
    return Do.START_GUEST if seen.has_identity else Do.PUT_IDENTITY


def _next_of_agent(wanted: Wanted, seen: Seen) -> Next | None:
    if not seen.is_agent_online:
        return Await.CONNECT_AGENT
    if seen.accepted_generation < wanted.spec_generation:
        return Do.SEND_SPEC
    return None


def _next_of_install(wanted: Wanted, seen: Seen, *, is_first: bool) -> Next | None:
    """What is installed later than the first time, or fails to be, keeps no route from its container."""
    is_behind = seen.observed_generation < wanted.spec_generation
    return Await.INSTALL if is_behind and is_first is not seen.is_proved else None


def _next_of_identity(seen: Seen, *, is_first: bool) -> Next | None:
    """A key that may be stolen waits for no install; an agent that takes no other holds up nothing else."""
    if not seen.may_renew_identity or seen.has_identity or is_first is seen.has_renewal_failed:
        return None
    return Do.RENEW_IDENTITY


def _next_of_route(seen: Seen) -> Next | None:
    match seen.route:
        case Route.ABSENT | Route.STALE:
            return Do.PUBLISH_ROUTE
        case Route.WRITTEN:
            return Do.CONFIRM_ROUTE
        case Route.CONFIRMED:
            return None


def _next_of_changed_route(seen: Seen) -> Next | None:
    """Whoever has published a port waits for its route; an edge that is away keeps no spec from the agent."""
    is_due = seen.is_proved and seen.is_agent_online and seen.route is Route.STALE and not seen.has_publishing_failed
    is_urgent = _next_of_identity(seen, is_first=True) is not None
    return Do.PUBLISH_ROUTE if is_due and not is_urgent else None


def _next_of_records(seen: Seen) -> Next | None:
    """A provider that is away keeps nothing else from a container that was ready once."""
    if seen.is_records_put_off:
        return None
    match seen.records:
        case Records.STALE:
            return Do.PUBLISH_RECORDS
        case Records.WRITTEN:
            return Do.ANSWER_DNS
        case Records.SETTLED:
            return None


def _next_of_addons(seen: Seen, *, is_first: bool) -> Next | None:
    """A new container is not ready before its addons open; of another, what is not up is told in its status alone."""
    if is_first is seen.is_proved:
        return None
    match seen.addons:
        case Addons.UNSEEN:
            return Do.OPEN_CODE_SERVER
        case Addons.ABSENT:
            return Do.OPEN_CODE_SERVER if is_first else None
        case Addons.WAITING:
            return Await.RUN_CODE_SERVER if is_first else None
        case Addons.SETTLED:
            return None


def _next_of_ports(seen: Seen) -> Next | None:
    """Of what was ready once, nothing but its route waits for further ports."""
    return None if seen.has_ports else Do.RESERVE_PORTS


def _next_of_server(wanted: Wanted, seen: Seen) -> Next | None:
    is_waiting = seen.server is Server.WAITING and not seen.is_proved and not wanted.is_server_off
    return Await.RUN_SERVER if is_waiting else None


def _next_of_proof(wanted: Wanted, seen: Seen) -> Next | None:
    return None if seen.is_proved or wanted.is_server_off else Do.CHECK_READY
