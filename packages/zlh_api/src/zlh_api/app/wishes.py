"""What people wish of containers, and what they are told of them."""

from __future__ import annotations

from dataclasses import dataclass

from zlh_api.access.question_limits import QuestionLimits
from zlh_api.access.service import AccessService
from zlh_api.app.accounts import Accounts, make_accounts
from zlh_api.app.settings import hosting, keeping, question_rates, state_limits
from zlh_api.catalog.service import CatalogService
from zlh_api.config.model import ApiConfig
from zlh_api.containers.live import LiveContainers
from zlh_api.containers.service import ContainerService
from zlh_api.database.pool import Database
from zlh_api.drivers.port import ContainerDriver
from zlh_api.exposures.service import ExposureService
from zlh_api.history.service import HistoryService
from zlh_api.quotas.service import QuotaService
from zlh_common.clock import Clock


@dataclass(frozen=True, slots=True)
class Wishes:
    """Who may wish for how much, and what they have wished for."""

    accounts: Accounts
    quotas: QuotaService
    containers: ContainerService
    exposures: ExposureService
    access: AccessService
    history: HistoryService
    live: LiveContainers


def make_wishes(
    config: ApiConfig, database: Database, catalog: CatalogService, driver: ContainerDriver, clock: Clock
) -> Wishes:
    """Make them; nothing is dialled. What the catalog learns, whoever looks at containers is told."""
    quotas, hosts = QuotaService(database, config.quota.quota), hosting(config)
    accounts = make_accounts(database, clock, quotas)
    limits = state_limits(config, driver)
    limits_of_questions = QuestionLimits(question_rates(config.rate_limits), clock)
    containers = ContainerService(database, catalog, hosts, limits=limits, customers=accounts.customers, quotas=quotas)
    history = HistoryService(database, clock, keeping(config))
    live = LiveContainers(containers, history)
    catalog.on_change = live.note_catalog
    return Wishes(
        accounts=accounts,
        quotas=quotas,
        containers=containers,
        exposures=ExposureService(database, containers, quotas, hosts),
        access=AccessService(database, hosts, limits_of_questions, portal_url=config.portal_url),
        history=history,
        live=live,
    )
