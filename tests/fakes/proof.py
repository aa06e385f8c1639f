"""What the proof asks of others, where a world has none of it: no DNS provider, no patrol, no TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zlh_api.proof.model import LinkSeen, Provable
from zlh_common.names import OwnerMark
from zlh_common.schema.edge import Certificate, EdgeFiles, EdgeProvider


class NoNameLinks:
    """No DNS provider is configured."""

    links: tuple[str, ...] = ()

    async def look(self, _containers: Sequence[Provable], /) -> Mapping[OwnerMark, tuple[LinkSeen, ...]]:
        """See NameLinks."""
        return {}


class NoEdgeFacts:
    """Nobody keeps them here."""

    async def fetch_files(self) -> EdgeFiles | None:
        """See EdgeFacts."""
        return None

    async def fetch_providers(self) -> tuple[EdgeProvider, ...] | None:
        """See EdgeFacts."""
        return None


class NoCertificates:
    """Names are not served by TLS."""

    async def fetch_certificate(self, _host: str) -> Certificate | None:
        """See CertificateSight."""
        return None
