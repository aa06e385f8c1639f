"""What Technitium's API says: pure. Every answer is HTTP 200; whether it is a good one stands in its status."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from zlh_api.dns.mark import parse_mark, render_mark
from zlh_api.dns.model import FoundRecord, Record
from zlh_api.dns.rules import spell_content
from zlh_common.names import OwnerMark

# Texts by which it says that what was found is not so any more; it has no codes. Of a CNAME, every refusal is about
# what else is at its name. To look again where that was not the reason costs a few calls.
_CHANGED = ("already exists", "does not exist", "no such record exists", "cname")
_GONE = "no such record exists"
_DENIED = ("access was denied", "access denied")


class Data(msgspec.Struct, frozen=True, rename="camel"):
    """What a record says, as far as it says where a name leads."""

    ip_address: str | None = None
    cname: str | None = None
    serial: int | None = None
    # Of a service.
    priority: int | None = None
    weight: int | None = None
    port: int | None = None
    target: str | None = None


class Listed(msgspec.Struct, frozen=True, rename="camel"):
    """A record of a list."""

    name: str
    type: str
    ttl: int = 0
    disabled: bool = False
    comments: str | None = None
    r_data: Data = Data()


class Records(msgspec.Struct, frozen=True):
    """The list itself."""

    records: tuple[Listed, ...] = ()


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """Every answer."""

    status: str
    error_message: str = ""
    response: msgspec.Raw = msgspec.Raw(b"{}")


read_envelope = msgspec.json.Decoder(Envelope).decode
read_records = msgspec.json.Decoder(Records).decode


def read_found(listed: tuple[Listed, ...]) -> Iterator[FoundRecord]:
    """Yield what a list says."""
    for each in listed:
        content = each.r_data.ip_address or each.r_data.cname or _read_service(each)
        yield FoundRecord(
            each.name.rstrip("."),
            each.type,
            spell_content(each.type, content),
            each.ttl,
            parse_mark(each.comments),
            is_disabled=each.disabled,
        )


def find_serial(listed: tuple[Listed, ...]) -> int | None:
    """Return the serial of a zone out of the records at its top."""
    return next((each.r_data.serial for each in listed if each.type == "SOA"), None)


def is_changed(message: str) -> bool:
    """Tell whether a refusal means that what was found is not there any more, or something else is."""
    return any(text in message.lower() for text in _CHANGED)


def is_gone(message: str) -> bool:
    """Tell whether a refusal means that what was to be deleted is not there."""
    return _GONE in message.lower()


def is_denied(message: str) -> bool:
    """Tell whether a refusal means that our user may not do that."""
    return any(text in message.lower() for text in _DENIED)


def render_record(record: Record) -> dict[str, str]:
    """Return which record is meant."""
    return {"domain": record.name, "type": record.type, **_render_content(record.type, record.content)}


def render_found(record: FoundRecord) -> dict[str, str]:
    """Return which record is meant of those that were found."""
    return {"domain": record.name, "type": record.type, **_render_content(record.type, record.content)}


def render_update(wanted: Record) -> dict[str, str]:
    """Return what a record of this type is to say from now on."""
    if wanted.type == "SRV":
        parts = _render_content(wanted.type, wanted.content)
        return {f"new{name.capitalize()}": value for name, value in parts.items()}
    return {"cname" if wanted.type == "CNAME" else "newIpAddress": wanted.content}


def render_settings(owner: OwnerMark, record: Record) -> dict[str, str]:
    """Return all that a record has beside what it says: whatever is left out would be set to a default."""
    settings = {"ttl": str(record.ttl), "comments": render_mark(owner), "disable": "false"}
    return {**settings, "ptr": "false"} if record.type in {"A", "AAAA"} else settings


def _read_service(each: Listed) -> str:
    data = each.r_data
    return f"{data.priority} {data.weight} {data.port} {data.target}" if each.type == "SRV" else ""


def _render_content(record_type: str, content: str) -> dict[str, str]:
    """Return what a record says, by the names that its parts have."""
    if record_type == "SRV":
        return dict(zip(("priority", "weight", "port", "target"), content.split(), strict=True))
    return {"cname" if record_type == "CNAME" else "ipAddress": content}
