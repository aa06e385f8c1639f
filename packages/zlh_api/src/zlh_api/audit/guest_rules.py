"""Which guests are not as the books say? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zlh_api.audit.ledger import Ledger, is_within
from zlh_api.audit.model import Departed, Difference, Row
from zlh_api.audit.verdicts import (
    CONFLICT,
    DRIFTED,
    LEFTOVER,
    LOST,
    MISPLACED,
    MISSING,
    NEIGHBOUR,
    ORPHAN,
    REMNANT,
    UNSIZED,
    tell_guest,
    tell_own,
)
from zlh_api.containers.model import Guest, Power
from zlh_api.drivers.port import FoundGuest
from zlh_common.names import OwnerMark
from zlh_common.schema.audit import Thing


def compare_guests(ledger: Ledger) -> Iterator[Difference]:
    """Yield what differs of guests; nothing where they could not be looked at."""
    if ledger.seen.guests is None:
        return
    own: dict[OwnerMark, FoundGuest] = {}
    for guest in ledger.seen.guests:
        row = ledger.rows.get(guest.owner) if guest.owner is not None else None
        if row is None:
            yield from _of_unknown_guest(ledger, guest)
        elif is_half_made_beside(guest):
            yield _half_made(row, guest)
        elif guest.vmid != row.vmid or row.owner in own:
            yield _second_guest(row, guest)
        else:
            own[row.owner] = guest
    numbers = {guest.vmid for guest in ledger.seen.guests}
    for row in ledger.books.rows:
        # Where another has its number, that is what has to be told.
        if row.owner in own or row.vmid not in numbers:
            yield from _of_own_guest(row, own.get(row.owner))
    yield from _of_addresses(ledger, ledger.seen.guests)


def _of_unknown_guest(ledger: Ledger, guest: FoundGuest) -> Iterator[Difference]:
    """What stands there and belongs to no row."""
    row = ledger.row_at.get(guest.vmid) if guest.vmid is not None else None
    if guest.owner is not None and ledger.went_during_look(guest.owner):
        return
    if row is not None:
        yield tell_guest(
            CONFLICT,
            guest,
            f"{guest.where} stands at the number of container {row.vmid} and does not carry its mark. It is left "
            "alone, and the container cannot be made: move it to another number.",
            wakes=row.owner,
        )
    elif guest.owner is not None:
        yield _orphan(ledger, guest)
    elif _is_in_our_way(ledger, guest):
        yield tell_guest(
            NEIGHBOUR,
            guest,
            f"{guest.where} stands where a container of ours could and is not ours. It is left alone, and its number "
            "and addresses are given to nobody; nothing has to be done.",
        )


def _orphan(ledger: Ledger, guest: FoundGuest) -> Difference:
    assert guest.owner is not None
    departed = ledger.departed_before_look(guest.owner)
    if departed is None:
        return tell_guest(
            ORPHAN,
            guest,
            f"{guest.where} carries a mark of ours that no container has: the database was restored from an older "
            "copy, or another installation shares this place. It is left alone; once you know that nobody needs it, "
            f"`zlh-api audit remove {guest.owner}` takes it away.",
        )
    if is_removable(guest, departed):
        return tell_guest(
            LEFTOVER,
            guest,
            f"{guest.where} turned up after container {departed.vmid}, whose it was, had been deleted. It is taken "
            "away by itself.",
        )
    return tell_guest(
        ORPHAN,
        guest,
        f"{guest.where} is a copy of what container {departed.vmid} was, which is deleted. It is left alone; "
        f"`zlh-api audit remove {guest.owner}` takes it away.",
    )


def _is_in_our_way(ledger: Ledger, guest: FoundGuest) -> bool:
    """Numbers behind us are never given again, so what stands there is none of our business."""
    if guest.vmid is None or guest.vmid > ledger.books.last_number:
        return True
    return any(is_within(address, ledger.books.address_block) for address in guest.addresses)


def is_half_made_beside(guest: FoundGuest) -> bool:
    """What has no number yet is no second guest: it is being made or taken away, or that was cut short."""
    return guest.vmid is None and guest.state is Guest.HALF_MADE


def _half_made(row: Row, guest: FoundGuest) -> Difference:
    text = (
        f"{guest.where} is left of a making of container {row.vmid} that was cut short. It is taken away when the API "
        "starts, and with the container."
    )
    return tell_own(REMNANT, row, Thing.GUEST, text, where=guest.where)


def _second_guest(row: Row, guest: FoundGuest) -> Difference:
    return tell_guest(
        CONFLICT,
        guest,
        f"{guest.where} carries the mark of container {row.vmid} and stands elsewhere: a copy made by hand. Take the "
        "mark off it or remove it; it is left alone.",
    )


def _of_own_guest(row: Row, guest: FoundGuest | None) -> Iterator[Difference]:
    if guest is None or guest.state in {Guest.ABSENT, Guest.HALF_MADE}:
        yield from _of_missing_guest(row)
        return
    is_running = guest.state is Guest.RUNNING
    if is_running is not (row.power is Power.ON):
        should, does = ("run", "is stopped") if row.power is Power.ON else ("be off", "runs")
        text = f"The guest of container {row.vmid} should {should} and {does}. It is put right by itself."
        yield tell_own(DRIFTED, row, Thing.GUEST, text, where=guest.where)
    if is_running and guest.is_closed is False:
        text = f"The network of container {row.vmid} is open. It is closed by itself, or the guest is stopped."
        yield tell_own(DRIFTED, row, Thing.GUEST, text, where=guest.where)
    if guest.resources is not None and guest.resources != row.resources:
        text = f"The limits of container {row.vmid} are not those that it was given. They are set by themselves."
        yield tell_own(UNSIZED, row, Thing.GUEST, text, where=guest.where)
    if row.address is not None and guest.addresses and row.address not in guest.addresses:
        text = f"Container {row.vmid} should have {row.address} and has {', '.join(guest.addresses)}; restart it."
        yield tell_own(MISPLACED, row, Thing.GUEST, text, where=guest.where)


def _of_missing_guest(row: Row) -> Iterator[Difference]:
    if row.power is Power.ON:
        text = f"Container {row.vmid} has no guest. A new one is made by itself; what the old one held is gone."
        yield tell_own(MISSING, row, Thing.GUEST, text)
    elif row.is_established:
        text = (
            f"Container {row.vmid} is off, and its guest is gone with all that it held. Bring it back from a backup "
            "before anybody switches the container on, which makes a new, empty one."
        )
        yield tell_own(LOST, row, Thing.GUEST, text)


def _of_addresses(ledger: Ledger, guests: Iterable[FoundGuest]) -> Iterator[Difference]:
    for guest in guests:
        for address in guest.addresses:
            row = ledger.row_of_address.get(address)
            if row is None or guest.owner == row.owner:
                continue
            text = (
                f"{guest.where} has the address {address} of container {row.vmid}. Give it another one; until then "
                "both may be reached in the other's place."
            )
            yield tell_guest(CONFLICT, guest, text, address=address)


def is_removable(guest: FoundGuest, departed: Departed) -> bool:
    """Tell whether a guest with a departed mark is that very one; at another number it is somebody's copy."""
    return guest.vmid == departed.vmid or is_half_made_beside(guest)
