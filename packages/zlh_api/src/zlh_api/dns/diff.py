"""What has to be written so that a provider has what is wanted? A pure comparison.

Invariants: nothing is changed or deleted that does not carry the mark of this container at a name of its own; nothing
is added beside what excludes it; what agrees is left alone, and a second of the same is deleted. Applied to what was
found, the changes give exactly what is wanted, and compared again nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zlh_api.dns.model import BARE_MARK, LEADING, Changes, FoundRecord, Record, Whose


def diff_records(whose: Whose, wanted: Iterable[Record], found: Iterable[FoundRecord]) -> Changes:
    """Return what to add, change and delete, and what of others is in the way."""
    everything = tuple(wanted)
    own: list[FoundRecord] = []
    foreign: list[FoundRecord] = []
    for record in found:
        is_own = record.owner == whose.owner and whose.has_name(record.host)
        (own if is_own else foreign).append(record)
    conflicts = tuple(record for record in foreign if any(excludes(record, each) for each in everything))
    barred = {record.host for record in conflicts}
    possible = tuple(record for record in everything if record.name not in barred)
    added, changed, deleted = _match(possible, [record for record in own if record.host not in barred])
    return Changes(added, changed, deleted, conflicts, possible)


def excludes(found: FoundRecord, wanted: Record) -> bool:
    """Tell whether both cannot be at their names, or would lead to two places."""
    if found.host != wanted.name:
        return False
    return found.type in {wanted.type, BARE_MARK} or "CNAME" in {found.type, wanted.type}


def is_right(found: FoundRecord, wanted: Record) -> bool:
    """Tell whether a record is as it is wanted. How long a proxied one lasts is the provider's own affair."""
    return (
        not found.is_disabled
        and found.is_proxied is wanted.is_proxied
        and (found.is_proxied or found.ttl == wanted.ttl)
    )  # fmt: skip


def _match(
    wanted: Sequence[Record], own: Sequence[FoundRecord]
) -> tuple[tuple[Record, ...], tuple[tuple[FoundRecord, Record], ...], tuple[FoundRecord, ...]]:
    """Pair what says the same first, then what differs in where it leads; the rest comes or goes."""
    missing: dict[tuple[str, str, str], Record] = {
        (record.name, record.type, record.content): record for record in wanted
    }
    changed: list[tuple[FoundRecord, Record]] = []
    spare: list[FoundRecord] = []
    # Of several that say the same, one that is right stays.
    for record in sorted(own, key=lambda each: (not _is_right_already(each, wanted), each.handle)):
        match = missing.pop((record.host, record.type, record.content), None)
        if match is None:
            spare.append(record)
        elif not is_right(record, match):
            changed.append((record, match))
    deleted: list[FoundRecord] = []
    for record in spare:
        key = next((key for key in missing if key[:2] == (record.host, record.type)), None)
        if key is None:
            deleted.append(record)
        else:
            changed.append((record, missing.pop(key)))
    return tuple(sorted(missing.values())), tuple(changed), tuple(deleted)


def _is_right_already(found: FoundRecord, wanted: Iterable[Record]) -> bool:
    key = (found.host, found.type, found.content)
    return any((each.name, each.type, each.content) == key and is_right(found, each) for each in wanted)


def leads(record: FoundRecord) -> bool:
    """Tell whether a record says where its name leads."""
    return record.type in LEADING
