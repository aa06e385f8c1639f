"""What a status of the Minecraft protocol says, taken as the word of a stranger: pure.

Source: the server list ping of the Java edition. The sample of players may be cut, hidden or made up; it counts where
it names as many as are said to play, each by a name that a player can have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zlh_agent.gameplay.presence import MAX_ONLINE, Answer

MAX_MOTD_CHARS, MAX_VERSION_CHARS = 1024, 256
# Components may hold components; nobody writes deeper ones than this.
MAX_DEPTH = 16
_NAME = re.compile(r"[A-Za-z0-9_.*-]{1,32}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_NOBODY = "0" * 32
# The paragraph sign and what follows it colour a text.
_COLOUR = re.compile(r"\u00a7.?")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is taken of a status; None where it does not say it."""

    players: Answer | None
    version: str | None
    motd: str | None


def read_status(status: Mapping[str, object]) -> ServerStatus:
    """Return what a status says."""
    version = status.get("version")
    name = version.get("name") if isinstance(version, dict) else None
    text = "".join(_texts(status.get("description"), MAX_DEPTH))[: 4 * MAX_MOTD_CHARS]
    motd = _plain(text, MAX_MOTD_CHARS)
    return ServerStatus(
        players=_read_players(status.get("players")),
        version=_plain(name, MAX_VERSION_CHARS) if isinstance(name, str) else None,
        motd=motd or None,
    )


def _read_players(players: object) -> Answer | None:
    if not isinstance(players, dict):
        return None
    count, most = _count(players.get("online")), _count(players.get("max"))
    if count is None:
        return None
    names = dict(_read_sample(players.get("sample")))
    return Answer(count, most, tuple(names.items()), is_whole=len(names) == count)


def _read_sample(sample: object) -> Iterator[tuple[str, str | None]]:
    for one in sample[:MAX_ONLINE] if isinstance(sample, list) else ():
        name, uuid = (one.get("name"), one.get("id")) if isinstance(one, dict) else (None, None)
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            continue
        known = uuid if isinstance(uuid, str) and _UUID.fullmatch(uuid) else None
        if known is not None and known.replace("-", "") == _NOBODY:
            # Somebody who hides stands there without a name of their own.
            continue
        yield name, known


def _count(number: object) -> int | None:
    is_count = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31
    return number if is_count and isinstance(number, int) else None


def _texts(component: Any, depth: int) -> Iterator[str]:
    """Yield the texts of a component: a text, a list of components, or a table with `text` and `extra`."""
    if depth == 0:
        return
    if isinstance(component, str):
        yield component
    elif isinstance(component, list):
        for one in component[:256]:
            yield from _texts(one, depth - 1)
    elif isinstance(component, dict):
        yield from _texts(component.get("text"), depth - 1)
        yield from _texts(component.get("extra"), depth - 1)


def _plain(text: str, most: int) -> str:
    """Return a text without colours and what is not printed, cut to `most` characters."""
    shown = "".join(char if char.isprintable() else " " for char in _COLOUR.sub("", text))
    return " ".join(shown.split())[:most]
