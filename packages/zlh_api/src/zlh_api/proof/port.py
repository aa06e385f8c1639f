"""What the proof asks of the world, and what of the edge it shows that others keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from zlh_api.proof.model import LinkSeen, Provable
from zlh_common.names import OwnerMark
from zlh_common.schema.edge import Certificate, EdgeFiles, EdgeProvider


class CertificateSight(Protocol):
    """The public side of the proxy."""

    async def fetch_certificate(self, host: str) -> Certificate | None:
        """Return what is shown for a host, however wrong or old it is; None where nothing is, or without TLS."""
        ...


class NameLinks(Protocol):
    """Further links between a name and its container, such as its records at each DNS provider."""

    @property
    def links(self) -> tuple[str, ...]:
        """All links that are configured, such as `dns:<provider>`."""
        ...

    async def look(self, containers: Sequence[Provable], /) -> Mapping[OwnerMark, tuple[LinkSeen, ...]]:
        """Return what is seen of each, by its links; nothing of what could not be asked."""
        ...


class EdgeFacts(Protocol):
    """What publisher and providers know of themselves; None is what is not configured."""

    async def fetch_files(self) -> EdgeFiles | None:
        """Return what the directory of route files is like, and what was moved out of it."""
        ...

    async def fetch_providers(self) -> tuple[EdgeProvider, ...] | None:
        """Return the DNS providers."""
        ...
