"""Hashes that are kept elsewhere: a line each, `CUSTOMER NUMBER HASH`, with `platform` for the platform's own chain."""

from __future__ import annotations

import re
from uuid import UUID

from zlh_api.audit_log.model import PLATFORM, Head
from zlh_common.errors import ZlhError

_OF_PLATFORM = "platform"
_LINE = re.compile(r"(\S+) ([1-9][0-9]{0,17}) ([0-9a-f]{64})")


class AnchorInvalid(ZlhError):
    """A file of anchors, or the name of a chain, is not what it must be."""

    code, status = "anchor_invalid", 400

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}. `zlh-api audit-log head` prints chains and anchors as they must be.")


def spell_chain(chain: UUID) -> str:
    """Return how a chain is named."""
    return _OF_PLATFORM if chain == PLATFORM else str(chain)


def unspell_chain(text: str) -> UUID:
    """Return the chain of a name; raise AnchorInvalid."""
    if text == _OF_PLATFORM:
        return PLATFORM
    try:
        return UUID(text)
    except ValueError:
        raise AnchorInvalid(f"{text[:100]!r} is no customer's id") from None


def render_head(head: Head) -> str:
    """Return the line of an anchor."""
    return f"{spell_chain(head.chain)} {head.number} {head.hash.hex()}"


def parse_anchors(text: str) -> dict[UUID, dict[int, bytes]]:
    """Return the hashes of a file by chain and number; lines of several days may stand in it. Raise AnchorInvalid."""
    anchors: dict[UUID, dict[int, bytes]] = {}
    for position, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise AnchorInvalid(f"Line {position} is no anchor")
        noted, number, found = anchors.setdefault(unspell_chain(match[1]), {}), int(match[2]), bytes.fromhex(match[3])
        if noted.setdefault(number, found) != found:
            raise AnchorInvalid(f"Line {position} has another hash than an earlier line for the same entry")
    return anchors
