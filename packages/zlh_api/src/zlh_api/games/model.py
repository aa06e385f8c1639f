"""A game server as its container's row keeps it, and the ports of the proxy that lead to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from zlh_common.names import Protocol
from zlh_common.schema.game import BackupId, EulaAgreement
from zlh_common.schema.template import GameTemplate, TemplateVersion, Value


class GameWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a game container was made from and has been asked for since: a newer catalog changes nothing of it."""

    template: str
    title: str
    definition: GameTemplate
    version: TemplateVersion
    # What the customer has chosen; what is not named has the default of `definition`.
    values: dict[str, Value] = msgspec.field(default_factory=dict)
    eula: EulaAgreement | None = None
    backs_up: bool = True
    restore: BackupId | None = None
    backups_asked: int = 0
    # As in WantedGame, and how often the server was started by somebody.
    attempt: int = 0
    starts: int = 0


@dataclass(frozen=True, slots=True)
class HeldPort:
    """A port of the proxy that is this container's until it is deleted."""

    name: str
    protocol: Protocol
    # Of the container.
    port: int
    # Of the proxy.
    public_port: int


@dataclass(frozen=True, slots=True)
class GamePool:
    """The ports that the proxy has for game servers; an empty range where it has none."""

    tcp: range = field(default_factory=lambda: range(0))
    udp: range = field(default_factory=lambda: range(0))

    def of(self, protocol: Protocol) -> range:
        """Return the ports of one protocol."""
        return self.tcp if protocol == "tcp" else self.udp
