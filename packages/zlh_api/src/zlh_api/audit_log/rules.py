"""What is written down of an act: whatever a caller makes up, an entry is short, printable and one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from zlh_api.audit_log.model import PLATFORM, Act, Ending, Who
from zlh_api.customers.model import Caller
from zlh_api.place_rules import parse_instant, render_instant
from zlh_common.errors import ZlhError
from zlh_common.schema.audit_log import Outcome

# A noun and what is done to it.
WORD = re.compile(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*")
OPENING, CLOSING = ".open", ".close"
MAX_NOTES, MAX_NAME_CHARS, MAX_VALUE_CHARS = 16, 32, 200
MAX_SUBJECT_CHARS, MAX_EMAIL_CHARS, MAX_ADDRESS_CHARS = 100, 254, 64
_PLACE = re.compile(r"([0-9]{1,17})-([0-9a-f]{32})-([0-9]{1,18})")


def clean(text: str, *, most: int) -> str:
    """Return a text with at most so many characters of the original, and what does not print written out as `\\x1b`.

    What changes the direction of writing, half characters and other spaces than the plain one count as not printing.
    """
    shown = "".join(char if char.isprintable() else _written_out(char) for char in text[:most])
    return shown if len(text) <= most else shown + "…"


def _written_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def add_note(details: Mapping[str, str], name: str, value: object) -> dict[str, str]:
    """Return the details with one more; what is beyond the number that an entry takes is left out."""
    name = clean(name, most=MAX_NAME_CHARS)
    if len(details) >= MAX_NOTES and name not in details:
        return dict(details)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {**details, name: clean(text, most=MAX_VALUE_CHARS)}


def describe_caller(caller: Caller) -> Who:
    """Return a caller as the log names them."""
    return Who(caller.user_id, clean(caller.email, most=MAX_EMAIL_CHARS), caller.credential_id, not caller.by_cookie)


def choose_address(address: str, caller: Caller | None, chain: UUID) -> str | None:
    """Return from where an act came, as far as the readers of its chain may know.

    The people of a customer read who of the operators touched their things, and not where operators sit: that stands in
    the API's own log, under the request's id.
    """
    if caller is not None and chain != PLATFORM and caller.membership_of(chain) is None:
        return None
    return clean(address, most=MAX_ADDRESS_CHARS)


def closing_word(word: str) -> str:
    """Return what the end of an act is called that stays open: `console.close` for `console.open`."""
    return word.removesuffix(OPENING) + CLOSING


def decide_ending(status: int, code: str | None) -> Ending:
    """Return how an act ended that was answered so."""
    if status < 400:
        return Ending(Outcome.DONE, status, code)
    return Ending(Outcome.REFUSED if status < 500 else Outcome.FAILED, status, code)


def ending_of(error: ZlhError) -> Ending:
    """Return how an act ended that was answered with an error."""
    return decide_ending(error.status, error.code)


def may_become(act: Act, chain: UUID, caller: Caller) -> bool:
    """Tell whether an act can be told to the people of a customer: never of one that the caller may not know of."""
    return act.chain in {PLATFORM, chain} and caller.may_know(chain)


def render_place(at: datetime, chain: UUID, number: int) -> str:
    """Return the place of an entry among those of all chains, for `before`."""
    return f"{render_instant(at)}-{chain.hex}-{number}"


def parse_place(text: str) -> tuple[datetime, UUID, int] | None:
    """Return what `render_place` has written, or None."""
    match = _PLACE.fullmatch(text)
    at = parse_instant(match[1]) if match is not None else None
    return (at, UUID(match[2]), int(match[3])) if match is not None and at is not None else None
