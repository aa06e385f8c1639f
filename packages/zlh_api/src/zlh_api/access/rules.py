"""What is decided about one request for a guarded host, before and after the database was asked: pure.

The proxy asks before each request. A browser that is not known at the host is sent to the portal, which sends it back
with a code; the code becomes a cookie of that host alone. Other container hosts are the same site for a browser: their
pages send our cookie along without being asked, and may set cookies of any name for the domain that they share. So
where a request comes from is held against the container's own hosts, and a cookie is believed for its value alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from zlh_common.names import PLATFORM_PATH, HostName, read_host

# A grant ends so long after it was last used, and with its session.
GRANT_LASTS = timedelta(hours=8)
# So much of that has to be over before it is written that it was used.
GRANT_RESTS = timedelta(minutes=5)
CODE_LASTS = timedelta(seconds=60)
NONCE_LASTS = timedelta(minutes=10)
# Cookies of our name that are looked at. With TLS nobody but us sets one; without, another host may set more.
MOST_TOKENS = 8
MAX_PATH_CHARS = 2000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Where a document is shown within another one.
_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_STATE = re.compile(r"[0-9a-f]{64}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Front:
    """How container hosts look from outside."""

    domain: str
    scheme: Literal["http", "https"]
    port: int

    @property
    def has_tls(self) -> bool:
        """Whether cookies can be held to one host by their name."""
        return self.scheme == "https"

    @property
    def access_cookie(self) -> str:
        """What a browser is known by at one host. The prefix is what no other host can set."""
        return "__Host-zlh_access" if self.has_tls else "zlh_access"

    @property
    def nonce_cookie(self) -> str:
        """By what a browser is known again that set out from one host."""
        return "__Host-zlh_enter" if self.has_tls else "zlh_enter"


@dataclass(frozen=True, slots=True)
class Cookies:
    """The cookies of one request."""

    tokens: tuple[str, ...]
    nonce: str | None
    # What the container is shown.
    others: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a container's host."""

    host: HostName
    # Of the container: where the proxy would lead the request to.
    port: int
    method: str
    path: str
    cookies: Cookies
    is_websocket: bool = False
    accepts_html: bool = False
    origins: tuple[str, ...] = ()
    referer: str | None = None
    # Sec-Fetch-Site, -Mode and -Dest, which no page can change.
    site: str | None = None
    mode: str | None = None
    dest: str | None = None
    # From where it comes, where the proxy can tell.
    client: str | None = None

    @property
    def is_navigation(self) -> bool:
        """Whether somebody opens a page, who can be sent elsewhere and back."""
        if self.method != "GET" or self.is_websocket:
            return False
        if self.mode is None:
            return self.accepts_html
        return self.mode == "navigate" and self.dest in {None, "document"}


def read_cookies(headers: Sequence[str], front: Front) -> Cookies:
    """Take the cookies of a request apart; ours, whoever has set them, are never among the others."""
    ours: dict[str, list[str]] = {front.access_cookie: [], front.nonce_cookie: []}
    others = []
    for pair in (part.strip() for header in headers for part in header.split(";")):
        name, _, value = pair.partition("=")
        if name.strip() in ours:
            ours[name.strip()].append(value.strip())
        elif pair and _is_text(pair):
            others.append(pair)
    tokens = [value for value in dict.fromkeys(ours[front.access_cookie]) if is_secret(value)]
    nonces = [value for value in ours[front.nonce_cookie] if is_secret(value)]
    return Cookies(tuple(tokens[:MOST_TOKENS]), nonces[0] if nonces else None, "; ".join(others))


def is_secret(text: str) -> bool:
    """Tell whether this could be one of our values: anything else is not asked for."""
    return _SECRET.fullmatch(text) is not None


def is_state(text: str) -> bool:
    """Tell whether this could be what stands in addresses for a nonce."""
    return _STATE.fullmatch(text) is not None


def is_foreign(asked: Asked, front: Front, *, is_alone: bool = False) -> bool:
    """Tell whether a request was made by a page that is none of the container's own, and must not act for its viewer.

    Somebody who follows a link from anywhere, or types an address, is no page. What `is_alone` takes requests of pages
    of its own host only: what is published at another port is any program, and must not use the shell of an editor.
    """
    if asked.origins:
        return not (_is_own_origin(asked.origins, asked.host, front, is_alone=is_alone) or _is_hidden_own(asked))
    if asked.method not in SAFE_METHODS or asked.is_websocket:
        # A browser names the origin of each of these; what does not is no browser, and has no business with its cookie.
        return asked.site != "same-origin"
    if asked.site in {None, "same-origin", "none"}:
        return False
    is_opened = asked.mode == "navigate" and asked.dest not in _FRAMES
    return not (is_opened or _has_own_referer(asked, front, is_alone=is_alone))


def is_opened_by_itself(headers: Mapping[str, str]) -> bool:
    """Tell whether somebody opens an address in a browser; where it does not say, it is taken for that.

    What is fetched before anybody wants it opens nothing.
    """
    mode, dest = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
    is_early = "prefetch" in headers.get("Sec-Purpose", "")
    return mode in {None, "navigate"} and dest in {None, "document"} and not is_early


def safe_path(text: str) -> str:
    """Return a path and query to go on to at the same host; `/` for whatever could lead elsewhere or go in a circle."""
    is_plain = text.startswith("/") and not text.startswith("//") and "\\" not in text
    is_printable = all("!" <= char <= "~" for char in text)
    if not is_plain or not is_printable or len(text) > MAX_PATH_CHARS or _is_ours(text):
        return "/"
    return text


def _is_ours(text: str) -> bool:
    """Tell whether a browser or the proxy could make a path of the platform of this."""
    path = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), re.split(r"[?#]", text, maxsplit=1)[0])
    parts = [part for part in path.split("/") if part]
    return ".." in parts or "." in parts or parts[:1] == [PLATFORM_PATH.strip("/")]


def render_state(nonce: str) -> str:
    """Return what stands in addresses for a nonce: whoever reads it has no nonce."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def _is_own_origin(origins: Sequence[str], host: HostName, front: Front, *, is_alone: bool) -> bool:
    """Tell whether there is one origin, and it is a host of the same container; where it `is_alone`, this very host."""
    scheme, separator, authority = origins[0].partition("://")
    if len(origins) != 1 or not separator or scheme != front.scheme:
        return False
    name, _, port = authority.partition(":")
    usual = {"http": 80, "https": 443}[front.scheme]
    found = read_host(name, front.domain)
    return (
        found is not None
        and (found.kind, found.vmid) == (host.kind, host.vmid)
        and (found.port == host.port or not is_alone)
        and (port or str(usual)) == str(front.port)
    )


def _is_hidden_own(asked: Asked) -> bool:
    """Tell whether the host's own page hides its origin, as one with `Referrer-Policy: no-referrer` does."""
    return asked.origins == ("null",) and asked.site == "same-origin"


def _has_own_referer(asked: Asked, front: Front, *, is_alone: bool) -> bool:
    """Tell whether another port of the same container has the page. Pages can leave a referrer out, and forge none."""
    if asked.referer is None:
        return False
    scheme, _, rest = asked.referer.partition("://")
    return _is_own_origin((f"{scheme}://{rest.partition('/')[0]}",), asked.host, front, is_alone=is_alone)


def _is_text(pair: str) -> bool:
    """Tell whether a header can carry this on; bytes that are no UTF-8 cannot."""
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in pair)
