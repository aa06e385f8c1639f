"""How a guest says whose it is: a line of its description, given in the very call that makes it, and tags beside it.

The description counts; tags are what the list of the whole cluster shows, so that one look at that finds all of ours.
Both survive a migration, a backup and its restoration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from zlh_common.names import MARK, OwnerMark

FAMILY = "zlh"
_LINE = re.compile(r"^zlh-owner: ([0-9a-f-]{36})$", re.MULTILINE)
_TAG = re.compile(rf"zlh-({MARK})")
_ADDRESS = re.compile(r"zlh-ip-([0-9]{1,3}(?:\.[0-9]{1,3}){3})")
# What Proxmox takes for a tag.
TAG_GRAMMAR = re.compile(r"[a-z0-9_][a-z0-9_\-+.]*")


def render_description(owner: OwnerMark) -> str:
    """Return the description of a guest."""
    return f"zlh-owner: {owner}\nMade and kept by ZLH: what is changed here by hand is changed back.\n"


def render_tags(owner: OwnerMark, address: str | None, further: tuple[str, ...]) -> str:
    """Return the tags of a guest: the family, its owner, its address, and what the operator wants besides."""
    place = (f"zlh-ip-{address}",) if address else ()
    return ";".join((FAMILY, f"{FAMILY}-{owner}", *place, *further))


def split_tags(text: object) -> list[str]:
    """Return the tags of a list as Proxmox writes it."""
    return [tag for tag in re.split(r"[;,\s]+", str(text or "")) if tag]


def parse_mark(config: Mapping[str, Any]) -> OwnerMark | None:
    """Return whose guest a configuration is, or None where it carries no mark of ours."""
    match = _LINE.search(str(config.get("description") or ""))
    if match is not None:
        return _owner(match[1])
    return parse_owner_tag(config.get("tags"))


def parse_owner_tag(tags: object) -> OwnerMark | None:
    """Return whose guest the tags name, or None."""
    for tag in split_tags(tags):
        if (match := _TAG.fullmatch(tag)) is not None:
            return _owner(match[1])
    return None


def parse_addresses(tags: object) -> tuple[str, ...]:
    """Return the addresses that the tags name."""
    found = [_ADDRESS.fullmatch(tag) for tag in split_tags(tags)]
    return tuple(match[1] for match in found if match is not None)


def _owner(text: str) -> OwnerMark | None:
    try:
        return OwnerMark(str(UUID(text)))
    except ValueError:
        return None
