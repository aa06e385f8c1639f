"""What Cloudflare's API says and is told: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from zlh_api.dns.mark import parse_mark, render_mark
from zlh_api.dns.model import Changes, FoundRecord, Record
from zlh_api.dns.rules import spell_content
from zlh_common.names import OwnerMark

# In one transaction, on every plan.
MAX_OPERATIONS = 200
# By which a record is there already, or excluded by another, or gone: what was found is not so any more.
CHANGED = frozenset({81053, 81057, 81058, 81044})
CREDENTIALS = frozenset({10000, 9109, 6003, 6103, 6111})


class Trouble(msgspec.Struct, frozen=True):
    """One error."""

    code: int = 0
    message: str = ""


class Data(msgspec.Struct, frozen=True):
    """The parts of a record of a service; records of other types have other ones."""

    priority: int = 0
    weight: int = 0
    port: int = 0
    target: str = ""


class Listed(msgspec.Struct, frozen=True):
    """A record of a list."""

    id: str
    name: str
    type: str
    content: str = ""
    ttl: int = 1
    proxied: bool = False
    comment: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class Paging(msgspec.Struct, frozen=True):
    """Which page of how many this is."""

    page: int = 1
    total_pages: int = 1


class Envelope(msgspec.Struct, frozen=True):
    """Every answer."""

    success: bool = False
    errors: tuple[Trouble, ...] = ()
    result: msgspec.Raw = msgspec.Raw(b"null")
    result_info: Paging | None = None


class Zone(msgspec.Struct, frozen=True):
    """A zone of a list."""

    id: str
    name: str


read_envelope = msgspec.json.Decoder(Envelope).decode
read_records = msgspec.json.Decoder(tuple[Listed, ...]).decode
_read_data = msgspec.json.Decoder(Data | None).decode
read_zones = msgspec.json.Decoder(tuple[Zone, ...]).decode


def read_found(listed: Iterable[Listed]) -> Iterator[FoundRecord]:
    """Yield what a list says."""
    for each in listed:
        yield FoundRecord(
            each.name.rstrip("."),
            each.type,
            spell_content(each.type, _read_content(each) if each.type == "SRV" else each.content),
            each.ttl,
            parse_mark(each.comment),
            is_proxied=each.proxied,
            handle=each.id,
        )


def render_batches(owner: OwnerMark, changes: Changes) -> Iterator[bytes]:
    """Yield the bodies that carry out the changes; each is all or nothing, and what goes goes first."""
    operations: list[tuple[str, dict[str, Any]]] = [
        *(("deletes", {"id": record.handle}) for record in changes.deleted),
        *(("patches", {"id": found.handle, **_fields(owner, record)}) for found, record in changes.changed),
        *(("posts", {"name": record.name, "type": record.type, **_fields(owner, record)}) for record in changes.added),
    ]
    for start in range(0, len(operations), MAX_OPERATIONS):
        batch: dict[str, list[dict[str, Any]]] = {}
        for kind, operation in operations[start : start + MAX_OPERATIONS]:
            batch.setdefault(kind, []).append(operation)
        yield msgspec.json.encode(batch)


def say(troubles: Iterable[Trouble]) -> str:
    """Return errors as people read them."""
    return "; ".join(f"{each.message.strip().rstrip('.')} ({each.code})"[:300] for each in troubles) or "no reason"


def _fields(owner: OwnerMark, record: Record) -> Mapping[str, Any]:
    # Of what is proxied, it sets the time itself, and 1 means that.
    ttl = 1 if record.is_proxied else record.ttl
    settings = {"ttl": ttl, "comment": render_mark(owner)}
    if record.type == "SRV":
        # It has no content of its own, and is never proxied.
        return {"data": _render_service(record.content), **settings}
    return {"content": record.content, "proxied": record.is_proxied, **settings}


def _render_service(content: str) -> Mapping[str, Any]:
    priority, weight, port, target = content.split()
    return {"priority": int(priority), "weight": int(weight), "port": int(port), "target": target}


def _read_content(each: Listed) -> str:
    """Return what a record says; of a service the parts, since its text leaves the priority out."""
    data = _read_data(each.data)
    return each.content if data is None else f"{data.priority} {data.weight} {data.port} {data.target}"
