"""What people are told of the proof: one container's chain, and the edge as a whole. Reads what the prober has kept."""

from __future__ import annotations

from dataclasses import dataclass

from zlh_api.containers.model import Container
from zlh_api.database.pool import Database
from zlh_api.proof import rules, store
from zlh_api.proof.exposition import render_edge_metrics
from zlh_api.proof.port import EdgeFacts, NameLinks
from zlh_api.proof.service import LOOK_S
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.edge import EdgeStatus, Proof, ShownCertificate

# A person may ask for a look at one container this often.
ASK_PAUSE_S = 5.0
# More than people read.
REPORTED_FAULTS, REPORTED_CERTIFICATES = 200, 50


class CheckTooSoon(ZlhError):
    """The chain of this container was asked for a moment ago."""

    code, status, retryable = "check_too_soon", 429, True

    def __init__(self, left_s: float) -> None:
        super().__init__(
            f"A look at this container was asked for a moment ago; ask again in {left_s:.0f} s.",
            retryAfterS=round(left_s),
        )


@dataclass(frozen=True, slots=True)
class ProofReports:
    """Answers what was seen; makes nobody look but by asking."""

    database: Database
    clock: Clock
    links: NameLinks
    facts: EdgeFacts

    async def fetch_proof(self, container: Container) -> Proof:
        """Return the chain of a container as it was seen last."""
        async with self.database.connection() as connection:
            asked = await store.fetch_asked(connection, container.owner)
            look, is_alive = await store.fetch_look(connection)
        outages = look.outages if look is not None and is_alive else ()
        is_due = asked.row is not None and asked.row.is_due_to_answer
        shown = asked.memory.certificate
        return Proof(
            vmid=container.vmid,
            checked_at=asked.memory.checked_at,
            asked_at=asked.asked_at,
            links=rules.render_chain(
                asked.row,
                asked.memory,
                connection=container.connection,
                heard_at=container.observed_at,
                outages=outages,
                configured=self.links.links,
                is_looking=is_alive and not outages,
            ),
            certificate=shown.certificate if shown is not None else None,
            outages=outages if is_due else (),
        )

    async def ask(self, container: Container) -> Proof:
        """Let whoever proves look at a container now; raise CheckTooSoon."""
        async with self.database.transaction() as connection:
            left_s = await store.ask(connection, container.owner, container.vmid, pause_s=ASK_PAUSE_S)
        if left_s is not None:
            raise CheckTooSoon(left_s)
        return await self.fetch_proof(container)

    async def fetch_edge(self) -> EdgeStatus:
        """Return how the edge stands."""
        async with self.database.connection() as connection:
            look, is_alive = await store.fetch_look(connection)
            faults, total, counts = await store.fetch_faults(connection, limit=REPORTED_FAULTS)
            shown = await store.fetch_certificates(connection, limit=REPORTED_CERTIFICATES)
        now = self.clock.now()
        certificates = [
            ShownCertificate(
                certificate=certificate,
                hosts=hosts,
                example=example,
                seen_at=seen_at,
                is_due=rules.is_certificate_due(certificate.not_after, now),
            )
            for certificate, hosts, example, seen_at in shown
        ]
        if look is not None and look.portal is not None:
            certificates.append(look.portal)
        return EdgeStatus(
            is_alive=is_alive,
            every_s=LOOK_S,
            looked_at=look.looked_at if look is not None else None,
            took_s=look.took_s if look is not None else None,
            containers=look.containers if look is not None else 0,
            asked=look.asked if look is not None else 0,
            proxy=look.proxy if look is not None else None,
            outages=look.outages if look is not None else (),
            faults=faults,
            faults_left_out=total - len(faults),
            fault_counts=counts,
            certificates=tuple(sorted(certificates, key=lambda each: each.certificate.not_after)),
            files=await self.facts.fetch_files(),
            providers=await self.facts.fetch_providers(),
        )

    async def render_metrics(self) -> str:
        """Return the figures of the edge for Prometheus."""
        return render_edge_metrics(await self.fetch_edge(), self.clock.now())
