"""Who makes wishes come true and goes on looking whether they are: the reconciler, the patrol, the prober."""

from __future__ import annotations

from dataclasses import dataclass

from zlh_api.app.settings import audit_setting, make_pace, patrol_facts, proof_setting, step_settings
from zlh_api.audit.patrol import Patrol
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import Auditor
from zlh_api.config.model import ApiConfig
from zlh_api.edge.traefik import Traefik
from zlh_api.proof.name_servers import NameServerLinks
from zlh_api.proof.report import ProofReports
from zlh_api.proof.service import Prober, Sights
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Ports, Steps


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What works on containers without being called."""

    reconciler: Reconciler
    auditor: Auditor
    patrol: Patrol
    prober: Prober
    proofs: ProofReports


def make_upkeep(config: ApiConfig, ports: Ports, traefik: Traefik) -> Upkeep:
    """Make it; all of it acts through `ports`, and the prober sees what Traefik itself shows."""
    database = ports.database
    steps = Steps(ports, step_settings(config))
    auditor = Auditor(database, ports.driver, ports.routes, audit_setting(config), ports.dns, ports.clock)
    patrol = Patrol(auditor, Remover(database, ports.driver, ports.routes, ports.dns))
    sights = Sights(traefik, NameServerLinks(database, ports.dns), traefik, steps.route_file)
    return Upkeep(
        reconciler=Reconciler(database, ports.driver, steps, make_pace(config.reconciler)),
        auditor=auditor,
        patrol=patrol,
        prober=Prober(database, patrol.lease, sights, proof_setting(config)),
        proofs=ProofReports(database, ports.clock, sights.links, patrol_facts(config, database)),
    )
