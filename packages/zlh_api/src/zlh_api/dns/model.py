"""Records as values: which are wanted, which were found, and what makes the one into the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zlh_common.names import OwnerMark, find_serving_host

RecordType = Literal["A", "AAAA", "CNAME", "SRV"]
# Records of these types say where a name leads; others are none of our business.
LEADING: frozenset[str] = frozenset({"A", "AAAA", "CNAME", "SRV"})
# The type of what is found where a mark stands without any record that it could be about.
BARE_MARK = "mark"


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """One record that a container needs; names are in lower case and without a trailing dot."""

    name: str
    type: RecordType
    # An address in its usual spelling, a host name, or of a service `<priority> <weight> <port> <host name>`.
    content: str
    ttl: int
    # Whether the provider answers with addresses of its own and passes requests on.
    is_proxied: bool = False


@dataclass(frozen=True, slots=True, order=True)
class ServicePort:
    """A service of a container's own host, as clients ask for it (`_minecraft._tcp`), and the public port it is at."""

    service: str
    port: int


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """One record as a provider has it; without an owner it carries no mark of ours."""

    # The full name as it was told, without a trailing dot.
    name: str
    type: str
    content: str
    ttl: int
    owner: OwnerMark | None
    is_proxied: bool = False
    # A record that is there and is not answered.
    is_disabled: bool = False
    # By which the provider knows it, where it knows records by more than what they say.
    handle: str = ""

    @property
    def host(self) -> str:
        """The name by which it is compared: DNS knows no case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes what was found into what is wanted, as far as nobody else's record is in the way."""

    added: tuple[Record, ...] = ()
    changed: tuple[tuple[FoundRecord, Record], ...] = ()
    deleted: tuple[FoundRecord, ...] = ()
    # Records of others at names of ours, which exclude what we want there.
    conflicts: tuple[FoundRecord, ...] = ()
    # Everything that is wanted at names without a conflict, changed or not.
    wanted: tuple[Record, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be written."""
        return not (self.added or self.changed or self.deleted)

    @property
    def touched(self) -> frozenset[str]:
        """The names at which something has to be written."""
        return frozenset(
            [record.name for record in self.added]
            + [record.name for _, record in self.changed]
            + [record.host for record in self.deleted]
        )


@dataclass(frozen=True, slots=True)
class Whose:
    """A container as providers know it: its mark, its own host, and all names that it has or may have had."""

    owner: OwnerMark
    host: str
    names: frozenset[str]

    def has_name(self, name: str) -> bool:
        """Tell whether a name is the container's own, one of its ports', or that of a service at its own."""
        port, _, host = name.partition("-")
        return find_serving_host(name) == self.host or (host == self.host and _is_port(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and text[0] != "0" and int(text[:6]) < 65536


@dataclass(frozen=True, slots=True)
class ProviderSetting:
    """What a provider is told to lead where."""

    name: str
    zone: str
    target: tuple[str, ...]
    game_target: tuple[str, ...] = ()
    ttl: int = 300
    # Whether it passes requests for dev hosts on by itself; those for game hosts it never does.
    is_proxying: bool = False
    # The name servers that must answer, as `address` or `address:port`.
    ask: tuple[str, ...] = ()
