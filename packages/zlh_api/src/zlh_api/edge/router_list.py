"""Pages of Traefik's list of routers, read as far as we need it; what is no such list comes from somebody else."""

from __future__ import annotations

import msgspec

from zlh_api.edge.model import Router
from zlh_api.edge.port import ProxyAway

# A page of this many routers is a megabyte, which is parsed in some milliseconds.
PER_PAGE = 2000
MAX_PAGES = 1000
MAX_PAGE_BYTES = 16 * 1024 * 1024
PROTOCOLS = ("http", "tcp", "udp")
# Behind the names of what comes from files.
_PROVIDER = "@file"


class _Listed(msgspec.Struct, frozen=True):
    """A router of the list."""

    name: str
    status: str = ""
    service: str = ""
    # Traefik calls it `error`, and tells several.
    error: tuple[str, ...] | str | None = None


class _Version(msgspec.Struct, frozen=True):
    """The answer of /api/version."""

    version: str = msgspec.field(name="Version")


_read_page = msgspec.json.Decoder(tuple[_Listed, ...]).decode
_read_version = msgspec.json.Decoder(_Version).decode


def parse_version(body: bytes) -> str:
    """Return Traefik's version; raise ProxyAway where something else answers."""
    try:
        return _read_version(body).version
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ProxyAway("what answers there is not Traefik") from exc


def parse_page(body: bytes, protocol: str) -> dict[tuple[str, str], Router]:
    """Return the routers of one page that come from files; raise ProxyAway where it is none."""
    try:
        listed = _read_page(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ProxyAway("its list of routers is none") from exc
    return {
        (protocol, each.name.removesuffix(_PROVIDER)): Router(each.service, each.status, _errors(each.error))
        for each in listed
        if each.name.endswith(_PROVIDER)
    }


def _errors(error: tuple[str, ...] | str | None) -> str:
    return error if isinstance(error, str) else "; ".join(error or ())
