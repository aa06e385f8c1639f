"""All that stands between a browser and a container, for real: a zone, an ACME server, and Traefik that uses both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guards import leaks
from real_parts.knot import Knot, running_knot
from real_parts.pebble import Pebble, running_pebble
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.edge.traefik_static import Acme

ZONE = "example.test"
# The name of Traefik's resolver.
RESOLVER = "acme"


@dataclass(frozen=True)
class AcmeEdge:
    """The parts, each of which can be ended and started again."""

    folder: Path
    knot: Knot
    pebble: Pebble
    traefik: RunningTraefik

    @property
    def root(self) -> Path:
        """What a browser trusts."""
        return self.folder / "root.pem"


@contextlib.contextmanager
def running_acme_edge(folder: Path, *, trusted: tuple[str, ...] = ()) -> Iterator[AcmeEdge]:
    """Run all of it, with the secret of the zone in a file that Traefik's own DNS provider reads."""
    # Tests start some of it again, for those that follow.
    leaks.long_lived.add(str(folder))
    with running_knot(folder, ZONE) as knot, running_pebble(folder, f"{knot.address}:{knot.port}") as pebble:
        secret = folder / "tsig"
        secret.write_text(knot.secret)
        secret.chmod(0o600)
        environment = {
            "LEGO_CA_CERTIFICATES": str(pebble.ca.ca),
            "RFC2136_NAMESERVER": f"{knot.address}:{knot.port}",
            "RFC2136_TSIG_KEY": f"{knot.key_name}.",
            "RFC2136_TSIG_ALGORITHM": f"{knot.algorithm}.",
            "RFC2136_TSIG_SECRET_FILE": str(secret),
            "RFC2136_POLLING_INTERVAL": "1",
        }
        servers = (f"{knot.address}:{knot.port}",)
        acme = Acme(RESOLVER, "ops@example.test", "", "rfc2136", pebble.directory, servers)
        with running_traefik(folder, trusted=trusted, games=0, acme=acme, environment=environment) as traefik:
            edge = AcmeEdge(folder, knot, pebble, traefik)
            edge.root.write_bytes(pebble.fetch_root())
            yield edge
